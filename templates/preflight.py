"""Asks the tracker through the very address and credentials that the job will use.

Usage: python -I -S preflight.py

Ends with 0 when the tracker answers, and when it has trouble that may pass (then with a warning); with 1 when no later try can help.
"""
import os
import sys
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPSConnection


def say(text):
    sys.stdout.write("[sendoff] preflight: %s\n" % text)
    sys.stdout.flush()


def refuse(text, fix):
    say("%s\n[sendoff] preflight: hint: %s" % (text, fix))
    sys.exit(1)


def main():
    uri = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    scheme, _, rest = uri.partition("://")
    host, slash, prefix = rest.partition("/")
    headers = {"Content-Type": "application/json"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user:
        pair = "%s:%s" % (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    elif os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]
    if scheme == "https":
        import ssl

        context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
        if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
            context = ssl._create_unverified_context()
        tls = ssl.SSLError
        connection = HTTPSConnection(host, timeout=10, context=context)
    else:
        tls = ()
        connection = HTTPConnection(host, timeout=10)
    try:
        connection.request("POST", slash + prefix + "/api/2.0/mlflow/experiments/search", '{"max_results":1}', headers)
        answer = connection.getresponse()
        body = answer.read(2000).decode("utf-8", "replace").strip()
    except tls as error:
        refuse("no secure connection to %s: %s" % (uri, error), "MLFLOW_TRACKING_SERVER_CERT_PATH names the certificates to trust")
    except (OSError, HTTPException) as error:
        say("warning: %s cannot be reached now (%s); the job starts all the same" % (uri, error))
        return
    status = answer.status
    if status == 401:
        refuse("%s wants credentials, or refuses those it got (401)" % uri, "set MLFLOW_TRACKING_TOKEN where you submit")
    if status == 403 and "Invalid Host header" in body:
        refuse("%s does not accept the host name in its address (403)" % uri, "start the server with --allowed-hosts")
    if status == 403:
        refuse("%s refuses access (403): %s" % (uri, body[:200]), "ask who runs the tracker for access")
    if status >= 500 or status == 429:
        say("warning: %s has trouble (status %d); the job starts all the same" % (uri, status))
        return
    if status != 200 or not body.startswith("{"):
        refuse("%s is not an MLflow server (status %d)" % (uri, status), "tracking.uri is the address of the server itself")


main()

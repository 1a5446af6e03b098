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


def interfering_netrc(host):
    """Returns the file whose entry for the host the MLflow client would present instead of its own credentials."""
    named = os.environ.get("NETRC")
    for path in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = os.path.expanduser(path)
        if not os.path.exists(path):
            continue
        from netrc import NetrcParseError, netrc

        try:
            return path if netrc(path).authenticators(host) else None
        except (NetrcParseError, OSError):
            return None
    return None


def connect(scheme, host):
    if scheme != "https":
        return HTTPConnection(host, timeout=15), ()
    import ssl

    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context = ssl._create_unverified_context()
    return HTTPSConnection(host, timeout=15, context=context), ssl.SSLError


def ask(connection, method, path, body, headers):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.getheader("x-sendoff-cause"), answer.read(4000).decode("utf-8", "replace").strip()


def main():
    uri = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    scheme, _, rest = uri.partition("://")
    host, slash, prefix = rest.partition("/")
    file = interfering_netrc(host.rpartition("@")[2].partition(":")[0])
    if file:
        refuse("`%s` has an entry for the tracker's host, which MLflow's client presents instead of the job's own credentials" % file,
               "take the entry out, or set NETRC in `environment_variables` to a file without it")
    # A relay answers such a request at once, whatever it has to say.
    headers = {"Content-Type": "application/json", "X-Sendoff-Preflight": "1"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user:
        pair = "%s:%s" % (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    elif os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]
    connection, tls = connect(scheme, host)
    try:
        status, cause, body = ask(connection, "POST", slash + prefix + "/api/2.0/mlflow/experiments/search", '{"max_results":1}', headers)
        version = ask(connection, "GET", slash + prefix + "/version", None, headers)[2][:20] if status == 404 else ""
    except tls as error:
        refuse("no secure connection to the tracker: %s" % error, "MLFLOW_TRACKING_SERVER_CERT_PATH names the certificates to trust")
    except (OSError, HTTPException) as error:
        say("warning: the tracker cannot be reached now (%s); the job starts all the same" % error)
        return
    if status == 200 and body.startswith("{"):
        return
    reason = body[:200]
    if cause:
        # The relay speaks: it is JSON, and its message is for people.
        from json import loads

        try:
            reason = loads(body).get("message", reason)
        except ValueError:
            pass
    if cause == "tls":
        refuse("no secure connection to the tracker: %s" % reason, "SSL_CERT_FILE names the certificates that the machine of the job trusts")
    if cause == "relay-credentials":
        refuse("the tracking relay does not know the job's credentials", "do not set MLFLOW_TRACKING_TOKEN or MLFLOW_TRACKING_PASSWORD in `setup`")
    if cause or status >= 500 or status == 429:
        say("warning: %s; the job starts all the same, and what it logs is delivered later" % (reason if cause else "the tracker answers %d" % status))
        return
    if status == 401:
        refuse("the tracker wants credentials, or refuses those it got (401)", "set MLFLOW_TRACKING_TOKEN where you submit")
    if status == 403 and "Invalid Host header" in body:
        refuse("the tracker does not accept the host name in its address (403)", "start the server with --allowed-hosts")
    if status == 403:
        refuse("the tracker refuses access (403): %s" % reason, "ask who runs the tracker for access")
    if version[:2] in ("0.", "1."):
        refuse("the tracker runs MLflow %s, which is too old" % version, "MLflow 2.0 or newer is needed")
    refuse("the address of the tracker is not an MLflow server's (it answers %d%s)" % (status, " with a web page" if body.startswith("<") else ""),
           "tracking.uri is the address of the server itself")


main()

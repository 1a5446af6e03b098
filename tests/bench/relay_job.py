"""The job that measures the relay from inside: the same calls through the relay and straight to the tracker, in turn.

Usage: relay_job.py RESULT TRACKER CALLS ROUNDS
"""

import http.client
import json
import os
import sys
import time
from urllib.parse import urlsplit

import mlflow

result, tracker, calls, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
TICKS = os.sysconf("SC_CLK_TCK")


def find_relay():
    """Returns the process of this job's relay: the one whose owner is the attempt's folder `relay`."""
    wanted = ("SENDOFF_OWNER=" + os.path.join(os.environ["SENDOFF_OWNER"], "relay")).encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                if wanted in environ.read().split(b"\0"):
                    return name
        except OSError:
            pass
    sys.exit("there is no relay")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def log(client, run_id):
    """Logs value after value, each before the next; returns the seconds until the last returned, and until all are there."""
    start = time.perf_counter()
    for step in range(calls):
        client.log_metric(run_id, "m", step / 7, step=step)
    seen = time.perf_counter() - start
    # A read comes after everything that was written.
    last = client.get_run(run_id).data.metrics["m"]
    if last != (calls - 1) / 7:
        sys.exit(f"the last value is {last}")
    return seen, time.perf_counter() - start


def requests_per_second(uri, run_id, seconds=2.0):
    """Logs by plain HTTP on one connection, so that the client's own weight does not count."""
    parts, token = urlsplit(uri), os.environ["MLFLOW_TRACKING_TOKEN"]
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        body = json.dumps({"run_id": run_id, "key": "r", "value": 0.5, "timestamp": count, "step": count})
        connection.request("POST", "/api/2.0/mlflow/runs/log-metric", body, headers)
        answer = connection.getresponse()
        if answer.read().strip() != b"{}" or answer.status != 200:
            sys.exit(f"the answer is {answer.status}")
        count += 1
    return count / (time.perf_counter() - start)


own, direct = mlflow.MlflowClient(), mlflow.MlflowClient(tracking_uri=tracker, registry_uri=tracker)
experiment, own_uri = os.environ["MLFLOW_EXPERIMENT_ID"], os.environ["MLFLOW_TRACKING_URI"]
relay = find_relay()
seen, delivered, straight, spent = [], [], [], []
for client in (own, direct):
    log(client, client.create_run(experiment).info.run_id)
for _ in range(rounds):
    before = cpu_seconds(relay)
    one, all_of_them = log(own, own.create_run(experiment).info.run_id)
    seen.append(one)
    delivered.append(all_of_them)
    spent.append(cpu_seconds(relay) - before)
    straight.append(log(direct, direct.create_run(experiment).info.run_id)[0])
rates = [
    requests_per_second(own_uri, own.create_run(experiment).info.run_id),
    requests_per_second(tracker, direct.create_run(experiment).info.run_id),
]
with open(result, "w") as file:
    measured = {"seen": seen, "delivered": delivered, "straight": straight, "cpu": spent, "peak": peak_bytes(relay), "rates": rates}
    json.dump(measured, file)

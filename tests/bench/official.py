"""Submits a folder to the emulated workspace by Azure's own client, unmodified: `official.py FOLDER`, or `official.py FOLDER serve`.

The second goes on: for every line of its input it submits once more, and answers with the seconds that this took, in the process and with the
client that are there already.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures" / "azureml"))

from azure.ai.ml import command
from azure.ai.ml.entities import Environment

from emulated import client


def submit(ml):
    """Submits, and says what was made."""
    job = command(
        experiment_name="bench",
        code=sys.argv[1],
        command="true",
        environment=Environment(image="python:3.11-slim"),
        compute="cpu-cluster",
    )
    made = ml.jobs.create_or_update(job)
    return {"name": made.name, "code": made.code}


ml = client()
if sys.argv[2:] == ["serve"]:
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        done = submit(ml)
        print(json.dumps({**done, "seconds": time.perf_counter() - start}), flush=True)
else:
    print(json.dumps(submit(ml)))

"""The rows of the tracking relay."""

import json

import socket
import subprocess
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import slow
from measure import Failed
from table import Row, show_time, times
from world import World

CALLS = 1000
CONFIG = """script: relay_job.py
arguments: ["${{inputs.result}}", "${{inputs.tracker}}", "${{inputs.calls}}", "${{inputs.rounds}}"]
inputs: {result: R, tracker: T, calls: 1, rounds: 1}
experiment_name: bench-relay
"""


def relay(world: World) -> list[Row]:
    """Synchronous `log_metric` straight and through the relay, near and far; what it costs meanwhile; how soon it answers."""
    world.ask("tracking", "start")
    uri = world.ask("tracking", "status")["uri"]
    far = f"http://127.0.0.1:{slow.start(urlsplit(uri).port, 0.02)}"
    near, away = inside(world, uri, "near"), inside(world, far, "far")
    rows = []
    for name, measured, limit in (("loopback", near, None), ("20 ms away", away, 0.1)):
        straight = f"straight to the server, {name}"
        rows.append(times(f"{CALLS:,} `log_metric`, as the script sees it", straight, median(measured["straight"]), median(measured["seen"]), limit))
        rows.append(times("until all of it is delivered", straight, median(measured["straight"]), median(measured["delivered"]), None))
    ours, theirs = near["rates"]
    rows.append(Row("writes a second, one connection", "the server's own", f"{theirs:,.0f}/s", f"{ours:,.0f}/s", f"{ours / theirs:.0f} x", "reported", None))
    rows.append(Row(f"CPU of the relay for {CALLS:,} writes", "", "", show_time(median(near["cpu"])), "", "reported", None))
    peak = max(near["peak"], away["peak"])
    rows.append(Row("memory of the relay meanwhile", "", "", f"{peak / (1 << 20):.0f} MiB", "", "30 MiB", peak <= 30 << 20))
    taken = median(until_ready(world) for _ in range(world.sizes.short))
    rows.append(Row("start of a relay until it answers", "", "", show_time(taken), "", "20 ms", taken <= 0.02))
    return rows


def inside(world: World, tracker: str, name: str) -> dict:
    """Runs the measuring job against a tracker, and returns what it measured."""
    script = (Path(__file__).resolve().parent / "relay_job.py").read_text()
    folder, result = world.project("relay", {"relay_job.py": script, "run.yaml": CONFIG}), world.path(f"relay-{name}.json")
    result.unlink(missing_ok=True)
    rounds = max(1, world.sizes.long)
    sets = {"result": result, "tracker": tracker, "calls": CALLS, "rounds": rounds}
    flags = [word for key, value in sets.items() for word in ("--set", f"inputs.{key}={value}")]
    world.ask("submit", "run.yaml", "--tracking-uri", tracker, *flags, folder=folder)
    if not result.exists():
        raise Failed("the job left no result")
    return json.loads(result.read_text())


def until_ready(world: World) -> float:
    """Starts a relay as its keeper does, and returns the seconds until it says that it answers."""
    folder = world.path("relay-start")
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    own, theirs = socket.socketpair()
    limits = {name: {"secs": 60, "nanos": 0} for name in ("outage", "drain", "stall")}
    task = {
        "folder": str(folder), "uri": "http://127.0.0.1:9", "credentials": {"auth": "none"}, "token": "t", "injected": None, "spools": True,
        "limits": {**limits, "spool": 1 << 30},
    }
    start = time.perf_counter()
    child = subprocess.Popen([world.sendoff, "relay"], stdin=listener, stdout=theirs, stderr=subprocess.DEVNULL, env=world.environment)
    theirs.close()
    own.sendall(json.dumps(task).encode() + b"\n")
    said = own.recv(100)
    taken = time.perf_counter() - start
    own.close()
    child.wait()
    if said != b'"ready"\n':
        raise Failed(f"the relay said {said!r}")
    return taken

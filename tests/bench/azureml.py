"""The rows of the target azureml: one project submitted to one emulator by sendoff and by Azure's own client.

The emulator counts what either sends: requests, and bytes of HTTP as TLS gave them out. Two jobs that sleep hold all of its nodes, so no job of
the benchmark runs while another is measured. With `SENDOFF_BENCH_REQUESTS=1` each kind of request of the last submissions is shown.
"""

import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from containers import engine
from measure import Failed, once
from table import Row, times
from world import World, made, write_small_tree

# The versions that the tests hold the emulator to.
PACKAGES = ["azure-ai-ml==1.35.2", "azure-identity==1.27.0"]
CONFIG = "command: 'true'\nsource_directory: src\nexperiment_name: bench\ncompute_target: {type: azureml, compute: cpu-cluster}\n\
environment: {image: 'python:3.11-slim'}\n"
OFFICIAL = Path(__file__).with_name("official.py")


@dataclass
class Taken:
    """What the submissions of one kind have taken."""

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    # Which requests the last one sent.
    last: Counter = field(default_factory=Counter)


class Cloud:
    """An emulator whose nodes are taken."""

    def __init__(self, world: World):
        engine(world)
        self.world = world
        self.jobs: list[str] = []
        self.folder = world.path("sendoff", "data", "emulator", "azureml")
        world.ask("emulator", "down", "azureml")
        shutil.rmtree(self.folder, ignore_errors=True)
        world.ask("tracking", "start")
        world.ask("emulator", "up", "azureml")
        state = json.loads((self.folder / "running.json").read_text())
        self.url, self.authority = state["base_url"], state["certificate_authority"]
        self.trusting = ssl.create_default_context(cafile=self.authority)
        blocker = world.project("azureml-blocker", {"src/none": "", "run.yaml": CONFIG.replace("'true'", "exec sleep 36000")})
        for _ in range(2):
            self.jobs.append(self.submit(blocker)["id"])
        until = time.monotonic() + 120
        while {world.ask("status", job)["state"] for job in self.jobs} != {"running"}:
            if time.monotonic() > until:
                raise Failed("the jobs that hold the nodes do not run")
            time.sleep(0.5)
        self.python = clients(world)

    def submit(self, folder: Path) -> dict:
        return self.world.ask("submit", "run.yaml", "--emulate", "--detach", folder=folder)

    def environment(self) -> dict:
        """Returns the variables of Azure's client."""
        own = {"EMULATOR": str(self.folder / "running.json"), "REQUESTS_CA_BUNDLE": str(self.authority), "PYTHONWARNINGS": "ignore"}
        return {**self.world.environment, **own, "AZUREML_CURRENT_CLOUD": "AzureCloud", "GIT_PYTHON_REFRESH": "quiet"}

    def traffic(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/traffic", context=self.trusting) as answer:
            return json.load(answer)

    def metered(self, submit, taken: Taken, count: bool) -> None:
        """Submits once, and adds what it took unless it is the first round."""
        idle = self.traffic()
        before = self.traffic()
        seconds = submit()
        after = self.traffic()
        if count:
            # Asking is heard, too: twice the same question has the same length.
            question = before["bytes"] - idle["bytes"]
            taken.last = Counter(after["requests"]) - Counter(before["requests"])
            taken.seconds.append(seconds)
            taken.requests.append(taken.last.total())
            taken.bytes.append(after["bytes"] - before["bytes"] - question)

    def files(self, code: str) -> int:
        """Returns how many files the workspace has of a code asset."""
        words = code.removeprefix("azureml:").split("/")
        with closing(sqlite3.connect(self.folder / "state.db")) as database:
            query = "SELECT body FROM documents WHERE kind = 'codes' AND name = ? COLLATE NOCASE"
            (body,) = database.execute(query, (words[words.index("codes") + 1],)).fetchone()
            uri = json.loads(body)["codeUri"].split("/")
            # Behind the account: the container, and the folder in it.
            container, folder = uri[-2], uri[-1]
            query = "SELECT count(*) FROM blobs WHERE container = ? AND name LIKE ?"
            return database.execute(query, (container, f"{folder}/%")).fetchone()[0]

    def end(self) -> None:
        for job in self.jobs:
            self.world.ask("cancel", job)
        self.world.ask("emulator", "down", "azureml")
        shutil.rmtree(self.folder, ignore_errors=True)


class Official:
    """Azure's client in a process that goes on."""

    def __init__(self, cloud: Cloud, source: Path):
        words = [cloud.python, str(OFFICIAL), str(source), "serve"]
        talk = open(cloud.world.talk, "wb")
        self.process = subprocess.Popen(
            words, env=cloud.environment(), cwd=source.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, text=True
        )
        self.said = {}
        self.read()

    def read(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"Azure's client ended with {self.process.wait()}; see `.work/talk`")
        return line

    def submit(self) -> float:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.said = json.loads(self.read())
        return self.said["seconds"]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def clients(world: World) -> str:
    """Returns the Python that has Azure's client."""
    folder = world.path("azure-clients")
    mark, python = folder / "complete", folder / "bin" / "python"
    if not mark.exists() or mark.read_text().split() != PACKAGES:
        uv = world.uv()
        world.run([uv, "venv", "--quiet", "--clear", "--python", "3.11", folder], "/", world.environment)
        world.run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *PACKAGES], "/", world.environment)
        mark.write_text("\n".join(PACKAGES))
    return str(python)


def project(world: World, count: int) -> Path:
    """Returns a git repository with a source tree of many small files."""
    folder = world.path("projects", f"azureml-{count}")

    def fill() -> None:
        write_small_tree(folder / "src", count - 1)
        (folder / "src" / "changed.py").write_text("value = 0\n")
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
            world.run([*git, *words], folder, world.environment)

    made(folder, fill)
    (folder / "run.yaml").write_text(CONFIG)
    return folder


def compared(world: World, changing: bool, rounds: int) -> list[Row]:
    """Submits a project in three ways in turn, and compares what they took."""
    count = world.sizes.project_files
    cloud = Cloud(world)
    folder = project(world, count)
    official = None
    codes: list[str] = []

    def edit() -> None:
        if changing:
            (folder / "src" / "changed.py").write_text(f"value = {time.time_ns()}\n")

    def ours() -> float:
        shown = world.path("shown")
        words = [world.sendoff, "submit", "run.yaml", "--emulate", "--detach", "--output", "json"]
        seconds = once(world.command(*words, folder=folder, stdout=str(shown)), world.talk)
        job = json.loads(shown.read_text())["id"]
        cloud.jobs.append(job)
        request = world.path("sendoff", "data", "jobs", job, "attempt-1", "azureml.json")
        codes.append(json.loads(request.read_text())["properties"]["codeId"])
        return seconds

    def warm() -> float:
        seconds = official.submit()
        codes.append(official.said["code"])
        return seconds

    def cold() -> float:
        shown = world.path("shown")
        command = world.command(cloud.python, OFFICIAL, folder / "src", folder=folder, stdout=str(shown))
        command.environment = cloud.environment()
        seconds = once(command, world.talk)
        codes.append(json.loads(shown.read_text())["code"])
        return seconds

    ways = [(ours, Taken()), (warm, Taken()), (cold, Taken())]
    try:
        official = Official(cloud, folder / "src")
        for number in range(rounds + 1):
            for submit, taken in reversed(ways) if number % 2 else ways:
                edit()
                cloud.metered(submit, taken, count=number > 0)
        assets = {code.lower().removeprefix("azureml:") for code in codes}
        if len(assets) != (len(codes) if changing else 1):
            raise Failed(f"{len(codes)} submissions made {len(assets)} code assets")
        if any(cloud.files(code) != count for code in codes):
            raise Failed("a code asset does not have every file")
    finally:
        if official:
            official.end()
        cloud.end()
        if os.environ.get("SENDOFF_BENCH_REQUESTS"):
            for submit, taken in ways:
                print(submit.__name__, json.dumps(taken.last, indent=1), file=sys.stderr)
    taken, by_client, by_script = (taken for _, taken in ways)
    what = f"`submit --detach` of {count:,} files to an emulated workspace, {'one changed' if changing else 'unchanged'}"
    client = "azure-ai-ml, `create_or_update` in a warm process"
    return [
        times(what, client, median(by_client.seconds), median(taken.seconds), 1),
        times("the same", "azure-ai-ml, a script from cold", median(by_script.seconds), median(taken.seconds), None),
        fewer("the same: requests", client, median(by_client.requests), median(taken.requests), 1),
        fewer("the same: requests", "azure-ai-ml, a script from cold", median(by_script.requests), median(taken.requests), None),
        fewer("the same: bytes sent", client, median(by_client.bytes), median(taken.bytes), 1),
        fewer("the same: bytes sent", "azure-ai-ml, a script from cold", median(by_script.bytes), median(taken.bytes), None),
    ]


def fewer(work: str, baseline: str, theirs: float, ours: float, limit) -> Row:
    """Judges by how many times as much is sent as by the baseline."""
    ratio = ours / theirs
    shown = "reported" if limit is None else f"{limit:g} x"
    return Row(work, baseline, f"{theirs:,.0f}", f"{ours:,.0f}", f"{ratio:.2f} x", shown, None if limit is None else ratio <= limit)


def unchanged(world: World) -> list[Row]:
    """A project that the workspace has already."""
    return compared(world, changing=False, rounds=world.sizes.middle)


def changed(world: World) -> list[Row]:
    """A project of which one file is another each time."""
    return compared(world, changing=True, rounds=world.sizes.long)

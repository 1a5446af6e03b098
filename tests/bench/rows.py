"""The rows of the table: each sets up what it needs, measures, and makes sure that the work was done."""

import filecmp
import json
import os
import shutil
import time
from pathlib import Path

import azureml
import containers
import image_build
import launcher
import store
from measure import Command, Failed, fastest, interleaved, once, peak_bytes, seconds
from relay import relay
from table import Row, slower, times
from world import World

HELLO = {"script.py": 'print("hello")\n', "run.yaml": "script: script.py\nexperiment_name: bench\n"}
PACKAGES = ["scikit-learn", "mlflow-skinny"]


def version(world: World) -> list[Row]:
    """What every call pays."""
    true, ours = interleaved([world.command("true"), world.command(world.sendoff, "--version")], world.sizes.short, world.talk)
    return [slower("`sendoff --version`", "`true`", seconds(true), seconds(ours), 10)]


def submit(world: World) -> list[Row]:
    """A submission that finds everything made, without a tracker."""
    return [submission(world, "`submit` of a one-line script, cached, untracked", ["--no-tracking"], 60)[0]]


def tracked(world: World) -> list[Row]:
    """The same, tracked by the managed server, and the same work by MLflow's own launcher."""
    world.ask("tracking", "start")
    row, ours = submission(world, "the same, tracked by a running managed server", [], 250)
    return [row, launcher.local(world, HELLO, ours)]


def submission(world: World, work: str, flags: list[str], limit_ms: float) -> tuple[Row, Command]:
    folder = world.project("hello", HELLO)
    job = world.ask("submit", "run.yaml", *flags, folder=folder)
    python = world.path("sendoff", "cache", "environments", job["environment"][:12], "bin", "python")
    shown = str(world.path("shown"))

    def greeted() -> None:
        if b"hello\n" not in Path(shown).read_bytes():
            raise Failed(f"the script was not run; see `{world.talk}`")

    plain = world.command(python, "script.py", folder=folder, stdout=shown, after=greeted)
    ours = world.command(world.sendoff, "submit", "run.yaml", *flags, folder=folder, stdout=shown, after=greeted)
    theirs, taken = interleaved([plain, ours], world.sizes.short, world.talk)
    return slower(work, "the same venv's `python script.py`", seconds(theirs), seconds(taken), limit_ms), ours


def identity(world: World) -> list[Row]:
    """The id of a tree that was never seen, against the fastest program that only hashes it."""
    source, cores = world.big_tree / "src", len(os.sched_getaffinity(0))
    names = {world.command(world.hasher, source): "a parallel program in Rust"}
    for words, name in ((["sha256sum"], "`sha256sum`"), (["openssl", "dgst", "-sha256"], "`openssl dgst`")):
        if shutil.which(words[0], path=world.environment["PATH"]) is None:
            world.missing.append(f"{words[0]}, as a baseline of the snapshot id")
            continue
        line = f"find {source} -type f -print0 | xargs -0 -P {cores} -n 64 {' '.join(words)}"
        names[world.command("sh", "-c", line)] = f"{name} by `xargs -P {cores}`"
    baseline = fastest(list(names), world.talk)
    ours = world.command(world.sendoff, "snapshot", "id", "run.yaml", folder=world.big_tree, before=lambda: forget(world, "stat"))
    theirs, taken = interleaved([baseline, ours], world.sizes.middle, world.talk)
    name = f"{names[baseline]}, the fastest of {len(names)} hashers"
    return [times(f"snapshot id, cold: {described(world)}", name, seconds(theirs), seconds(taken), 1.5)]


def archive(world: World) -> list[Row]:
    """The zip, from a tree that was never seen: listed, hashed, packed."""
    if shutil.which("zip", path=world.environment["PATH"]) is None:
        install_zip(world)
    source, goal = world.big_tree / "src", world.path("baseline.zip")

    def clean() -> None:
        goal.unlink(missing_ok=True)
        forget(world, "stat", "snapshots")

    theirs = world.command("zip", "-1", "-r", "-q", goal, ".", folder=source, before=clean)
    program = Path(__file__).with_name("zipfile_pack.py")
    python = world.command("python3", program, source, goal, before=clean)
    ours = world.command(world.sendoff, "snapshot", "pack", "run.yaml", folder=world.big_tree, before=clean)
    by_zip, by_python, by_us = map(seconds, interleaved([theirs, python, ours], world.sizes.long, world.talk))
    packed = world.ask("snapshot", "pack", "run.yaml", folder=world.big_tree)
    counted = json.loads(world.run(["python3", program, "--count", packed["path"]], "/", world.environment))
    if counted != {"files": world.sizes.big_files, "bytes": sum(path.stat().st_size for path in source.rglob("*.*"))}:
        raise Failed(f"the archive holds {counted}")
    work = "the packed zip of the same, from nothing"
    return [times(work, "`zip -1 -r`", by_zip, by_us, 0.6), times(work, "Python's `zipfile`, level 1", by_python, by_us, None)]


def memory(world: World) -> list[Row]:
    """What a submission of that tree takes at most, of all its processes the largest."""
    world.ask("tracking", "start")
    ours = world.command(world.sendoff, "submit", "run.yaml", folder=world.big_tree, before=lambda: forget(world, "stat", "snapshots"))
    peak = max(peak_bytes(ours, world.talk) for _ in range(world.sizes.long)) / (1 << 20)
    return [Row(f"memory of `submit`: {described(world)}", "", "", f"{peak:.0f} MiB", "", "150 MiB", peak <= 150)]


def unchanged(world: World) -> list[Row]:
    """The id of a tree that was seen before and has not changed."""
    tree = world.small_tree
    theirs = world.command("git", "status", "--porcelain", folder=tree)
    ours = world.command(world.sendoff, "snapshot", "id", "run.yaml", folder=tree)
    # Only files that were settled when the cache was written are trusted: the last one is as old as the repository's index.
    ready = (tree / ".git" / "index").stat().st_mtime + 3
    time.sleep(max(0.0, ready - time.time()))
    git, taken = interleaved([theirs, ours], world.sizes.short, world.talk)
    work = f"snapshot, unchanged tree of {world.sizes.small_files:,} files"
    return [times(work, "`git status`, warm", seconds(git), seconds(taken), 1.5)]


def environment(world: World) -> list[Row]:
    """An environment made from its lock with a warm cache; ours is the whole submission that needs it."""
    packages = "".join(f"    - {name}\n" for name in PACKAGES)
    folder = world.project("environment", {"run.yaml": f'command: "true"\nenvironment:\n  pip_packages:\n{packages}'})
    home = world.path("environment")
    job = world.ask("submit", "run.yaml", "--no-tracking", folder=folder, home=home)
    built = next(each for each in world.ask("env", "list", home=home)["environments"] if each["id"] == job["environment"])
    lock, goal = world.path("lock.txt"), world.path("baseline-venv")
    lock.write_text("\n".join(built["packages"]) + "\n")
    uv = world.uv(home)
    python = goal / "bin" / "python"
    install = f"{uv} pip install --quiet --compile-bytecode --no-deps --python {python} -r {lock}"
    theirs = world.command("sh", "-c", f"{uv} venv --quiet --no-project {goal} && {install}", folder=folder)
    theirs.before = lambda: shutil.rmtree(goal, ignore_errors=True)
    whole = home / "cache" / "environments" / job["environment"][:12]

    def prune() -> None:
        world.ask("env", "prune", home=home)
        if whole.exists():
            raise Failed(f"`{whole}` is still there")

    def check() -> None:
        world.run([whole / "bin" / "python", "-c", "import sklearn, mlflow"], "/", world.environment)

    ours = world.command(world.sendoff, "submit", "run.yaml", "--no-tracking", folder=folder, home=home, before=prune)
    by_uv, taken = interleaved([theirs, ours], world.sizes.middle, world.talk)
    check()
    work = f"environment of {len(built['packages'])} packages, cold with uv's cache warm"
    return [times(work, "`uv venv` + `uv pip install --compile-bytecode`", seconds(by_uv), seconds(taken), 1.1)]


def listing(world: World) -> list[Row]:
    """`list` and `status` in a store of many jobs, of which a few run."""
    home = world.path("store")
    with store.full(world, home) as middle:
        commands = [
            world.command(world.sendoff, "--version", home=home),
            world.command(world.sendoff, "list", home=home),
            world.command(world.sendoff, "status", middle, home=home),
        ]
        none, listed, asked = map(seconds, interleaved(commands, world.sizes.short, world.talk))
    many = f"with {world.sizes.jobs:,} jobs in the store"
    return [slower(f"`list` {many}", "`--version`", none, listed, 30), slower(f"`status` {many}", "`--version`", none, asked, 30)]


def logs(world: World) -> list[Row]:
    """The log of a job that printed a lot: as fast as it can be copied, and whole."""
    count = world.sizes.lines
    text = f'import sys\nsys.stdout.write("".join(f"line {{n:07}} of a log whose lines are as wide as usual\\n" for n in range({count})))\n'
    folder = world.project("logs", {"script.py": text, "run.yaml": "script: script.py\n"})
    streamed = world.path("streamed")
    gone(world, "bench-logs")
    flags = ["--no-tracking", "--job-id", "bench-logs"]
    once(world.command(world.sendoff, "submit", "run.yaml", *flags, folder=folder, stdout=str(streamed)), world.talk)
    log = world.path("sendoff", "data", "jobs", "bench-logs", "attempt-1", "log")
    for path in (log, streamed):
        with open(path) as lines:
            numbers = (int(line.split()[1]) for line in lines if line.startswith("line "))
            if sum(1 for expected, number in zip(range(count), numbers) if number == expected) != count or next(numbers, None) is not None:
                raise Failed(f"`{path}` does not have every line once and in its order")
    copied = world.path("copied")

    def whole() -> None:
        if not filecmp.cmp(log, copied, shallow=False):
            raise Failed("the log that was shown is not the log that was written")

    cat = world.command("cat", log, stdout=str(copied), after=whole)
    ours = world.command(world.sendoff, "logs", "bench-logs", stdout=str(copied), after=whole)
    theirs, taken = interleaved([cat, ours], world.sizes.middle, world.talk)
    return [times(f"`logs` of {count:,} lines, none lost", "`cat` of the file", seconds(theirs), seconds(taken), 2)]


def gone(world: World, job: str) -> None:
    """Deletes a job, if there is one of that name."""
    if world.path("sendoff", "data", "jobs", job).exists():
        world.ask("delete", job)


def forget(world: World, *names: str) -> None:
    """Removes what sendoff has cached of that kind."""
    for name in names:
        shutil.rmtree(world.path("sendoff", "cache", name), ignore_errors=True)


def install_zip(world: World) -> None:
    try:
        world.run(["apt-get", "install", "-y", "-q", "zip"], "/", world.environment)
    except (Failed, OSError) as error:
        raise Failed(f"`zip` is missing and could not be installed: {error}") from error


def described(world: World) -> str:
    return f"{world.sizes.big_files:,} files, {world.sizes.big_bytes >> 20:,} MiB, half compressible"


ROWS = {
    "version": version,
    "submit": submit,
    "tracked": tracked,
    "id": identity,
    "zip": archive,
    "memory": memory,
    "unchanged": unchanged,
    "env": environment,
    "list": listing,
    "logs": logs,
    "relay": relay,
    "docker": containers.docker,
    "docker-changed": containers.changed,
    "docker-build": image_build.build,
    "docker-together": containers.together,
    "docker-logs": containers.logs,
    "azureml": azureml.unchanged,
    "azureml-changed": azureml.changed,
}

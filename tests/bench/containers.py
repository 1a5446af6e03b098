"""The rows of the Docker target: the same image and the same script, by sendoff and by the `docker` command."""

import json
import subprocess
import time
from pathlib import Path

import launcher
from measure import Command, Failed, interleaved, once, seconds
from table import Row, show_time, slower, times
from world import REPOSITORY, World

CONFIG = "script: script.py\nexperiment_name: bench\ncompute_target: docker\nenvironment: {python: 3.11}\n"
HELLO = {"script.py": 'print("hello")\n', "run.yaml": CONFIG}


def engine(world: World) -> None:
    """Makes sure that there is an engine with the image that Python environments are made on."""
    if world.has_engine:
        return
    done = subprocess.run([REPOSITORY / "tests" / "engine", "check"], env=world.environment, capture_output=True)
    if done.returncode != 0:
        raise Failed(f"{done.stderr.decode().strip()}; `tests/engine start` brings what is missing")
    world.has_engine = True
    world.remove.append(lambda: world.ask("env", "prune"))


def ran(world: World, *words: object) -> str:
    """Runs the `docker` command, and returns what it printed."""
    return world.run(["docker", *map(str, words)], "/", world.environment).decode().strip()


def docker(world: World) -> list[Row]:
    """A submission that finds its image made, without a tracker and with one, and the same work by MLflow's own launcher."""
    engine(world)
    world.ask("tracking", "start")
    folder = world.project("docker", HELLO)
    bare, _ = submission(world, folder, "`submit` of a one-line script to Docker, cached, untracked", ["--no-tracking"], 350)
    row, ours = submission(world, folder, "the same, tracked by a running managed server", [], 600)
    image = image_of(world.ask("submit", "run.yaml", folder=folder))
    script = {"script.py": HELLO["script.py"]}
    return [bare, row, launcher.docker(world, script, image, ours)]


def submission(world: World, folder: Path, work: str, flags: list[str], limit_ms: float) -> tuple[Row, Command]:
    job = world.ask("submit", "run.yaml", *flags, folder=folder)
    plain, ours = pair(world, folder, image_of(job), flags)
    theirs, taken = interleaved([plain, ours], world.sizes.short, world.talk)
    return slower(work, "`docker run --rm` of its image and script", seconds(theirs), seconds(taken), limit_ms), ours


def pair(world: World, folder: Path, image: str, flags: list[str]) -> tuple[Command, Command]:
    """Returns the script of a folder as two commands: plainly in its image, and submitted."""
    shown = world.path("shown")

    def greeted() -> None:
        if b"hello\n" not in shown.read_bytes():
            raise Failed(f"the script was not run; see `{world.talk}`")

    mount = f"{folder}:/work:ro"
    plain = world.command("docker", "run", "--rm", "-v", mount, "-w", "/work", image, "python", "script.py", stdout=str(shown), after=greeted)
    ours = world.command(world.sendoff, "submit", "run.yaml", *flags, folder=folder, stdout=str(shown), after=greeted)
    return plain, ours


def image_of(job: dict) -> str:
    """Returns the name of the image that a job ran in."""
    return f"sendoff/env:{job['environment'][:12]}"


def changed(world: World) -> list[Row]:
    """A submission after a change of its source: the image stays what it is."""
    engine(world)
    folder = world.project("docker-changed", HELLO)
    image = image_of(world.ask("submit", "run.yaml", "--no-tracking", folder=folder))
    plain, ours = pair(world, folder, image, ["--no-tracking"])

    def edit() -> None:
        (folder / "script.py").write_text(f'print("hello")  # {time.time_ns()}\n')

    plain.before = ours.before = edit
    before = images(world)
    theirs, taken = interleaved([plain, ours], world.sizes.middle, world.talk)
    builds = len(images(world) - before)
    work, baseline = "the same untracked, each time with another source file", "`docker run --rm` of its image and script"
    shown = f"{builds} images built"
    return [Row(work, baseline, show_time(seconds(theirs)), show_time(seconds(taken)), shown, "0 images built", builds == 0)]


def images(world: World) -> set[str]:
    """Returns which images of environments there are, each with the time at which it got its name."""
    ids = ran(world, "images", "--no-trunc", "--quiet", "--filter", "label=sendoff.environment").split()
    return {f"{image['Id']} {image['Metadata']['LastTagTime']}" for image in json.loads(ran(world, "image", "inspect", *ids))}


def together(world: World) -> list[Row]:
    """Many jobs at once: how many end well, and how long it takes until the last has."""
    engine(world)
    count, folder = world.sizes.together, world.project("docker", HELLO)
    image = image_of(world.ask("submit", "run.yaml", "--no-tracking", folder=folder))
    plain, ours = pair(world, folder, image, ["--no-tracking"])
    one_by_one = looped(world, plain, f'set -e; for i in $(seq {count}); do "$@"; done')
    side_by_side = f'for i in $(seq {count}); do "$@" & pids="$pids $!"; done; for pid in $pids; do wait "$pid" || exit 1; done'
    before = listed(world, count)
    one, many, taken = (once(each, world.talk) for each in (one_by_one, looped(world, plain, side_by_side), looped(world, ours, side_by_side)))
    jobs = {name: state for name, state in listed(world, count).items() if name not in before}
    failed = [name for name, state in jobs.items() if state != "succeeded" or errors_of(world, name)]
    if len(jobs) != count:
        raise Failed(f"{len(jobs)} of {count} jobs are listed")
    shown = f"{len(failed)} failed"
    return [
        Row(f"{count} jobs submitted to Docker at once, until all have ended", "", "", show_time(taken), shown, "0 failed", not failed),
        times("the same", f"{count} `docker run --rm` at once", many, taken, None),
        times("the same", f"a loop of {count} `docker run --rm`", one, taken, None),
    ]


def looped(world: World, command: Command, line: str) -> Command:
    """Returns a line of the shell that has a command as its arguments."""
    return world.command("sh", "-c", line, "sh", *command.words, folder=command.folder)


def listed(world: World, count: int) -> dict:
    """Returns the states of the newest jobs by their ids."""
    return {job["id"]: job["state"] for job in world.ask("list", "--limit", count)["jobs"]}


def errors_of(world: World, job: str) -> str:
    """Returns what the supervisor of a job had to say, which is nothing when all is well."""
    return world.path("sendoff", "data", "jobs", job, "attempt-1", "supervisor.log").read_text()


def logs(world: World) -> list[Row]:
    """A container that prints a lot: until its log is here as a whole, and each time that it is shown after."""
    engine(world)
    count = world.sizes.lines
    text = f'import sys\nsys.stdout.write("".join(f"line {{n:07}} of a log whose lines are as wide as usual\\n" for n in range({count})))\n'
    folder = world.project("docker-logs", {"script.py": text, "run.yaml": CONFIG})
    image = image_of(world.ask("submit", "run.yaml", "--no-tracking", folder=folder))
    shown = world.path("shown")

    def whole() -> None:
        with open(shown) as lines:
            numbers = (int(line.split()[1]) for line in lines if line.startswith("line "))
            if sum(1 for expected, number in zip(range(count), numbers) if number == expected) != count or next(numbers, None) is not None:
                raise Failed(f"`{shown}` does not have every line once and in its order")

    run = f"docker run -d -v {folder}:/work:ro -w /work {image} python script.py"
    words = f"id=$({run}) && docker logs --follow $id && docker rm $id >/dev/null"
    theirs = world.command("sh", "-c", words, stdout=str(shown))
    ours = world.command(world.sendoff, "submit", "run.yaml", "--no-tracking", folder=folder, stdout=str(shown), after=whole)
    live = interleaved([theirs, ours], world.sizes.long, world.talk)

    kept = ran(world, "run", "-d", "-v", f"{folder}:/work:ro", "-w", "/work", image, "python", "script.py")
    ran(world, "wait", kept)
    theirs = world.command("docker", "logs", kept, stdout=str(shown))
    ours = world.command(world.sendoff, "logs", "@last", stdout=str(shown), after=whole)
    later = interleaved([theirs, ours], world.sizes.long, world.talk)
    ran(world, "rm", kept)
    lines = f"{count:,} lines from a container"
    return [
        times(f"a job with {lines}, none lost, until it has ended", "`docker run --detach` and `docker logs --follow`", *map(seconds, live), 1.5),
        times(f"`logs` of {lines}, none lost", "`docker logs`", *map(seconds, later), 1.5),
    ]

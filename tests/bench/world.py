"""The world of the benchmark: folders of its own below `.work`, the programs that it compares, the trees that it packs."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Callable

from measure import Command, Failed

REPOSITORY = Path(__file__).resolve().parents[2]
WORK = Path(__file__).resolve().parent / ".work"


@dataclass
class Sizes:
    """How much work there is, and how often it is measured."""

    big_files: int = 10_000
    big_bytes: int = 1 << 30
    small_files: int = 100_000
    # Of a project that is submitted to a service.
    project_files: int = 5_000
    jobs: int = 100_000
    lines: int = 1_000_000
    # Jobs that are submitted at once.
    together: int = 100
    # Rounds of what takes milliseconds, of what takes seconds, and of what takes a minute.
    short: int = 21
    middle: int = 7
    long: int = 3


QUICK = Sizes(big_files=500, big_bytes=64 << 20, small_files=10_000, project_files=500, jobs=2_000, lines=100_000, together=10, short=7, middle=3, long=1)


@dataclass
class World:
    """Makes what a row asks for, once, and keeps it for the next time where that is safe."""

    sizes: Sizes
    # What a row could not get, for the last lines.
    missing: list[str] = field(default_factory=list)
    # What removes that which was made outside of the folder of the benchmark; called at the end, the last first.
    remove: list[Callable[[], object]] = field(default_factory=list)
    # Whether an engine was found that has what the rows of containers need.
    has_engine: bool = False

    def path(self, *names: str) -> Path:
        """Returns a path below the folder of the benchmark."""
        return WORK.joinpath(*names)

    @property
    def talk(self) -> str:
        """The file that holds what the last command said."""
        WORK.mkdir(exist_ok=True)
        return str(self.path("talk"))

    @cached_property
    def sendoff(self) -> str:
        """The release build of this checkout."""
        self.run(["cargo", "build", "--release", "--locked", "--quiet"], REPOSITORY, os.environ)
        return str(target_folder(REPOSITORY) / "release" / "sendoff")

    @cached_property
    def hasher(self) -> str:
        """The program that does nothing but read and hash."""
        folder = Path(__file__).resolve().parent / "hasher"
        goal = self.path("hasher-target")
        self.run(["cargo", "build", "--release", "--locked", "--quiet"], folder, {**os.environ, "CARGO_TARGET_DIR": str(goal)})
        return str(goal / "release" / "hasher")

    @cached_property
    def environment(self) -> dict:
        """The variables of every measured command: nothing of the caller's but what leads to a package index or to a container engine."""
        own = {
            # The real interpreter first: what a version manager puts on PATH is a script that takes longer than Python.
            "PATH": os.pathsep.join([str(Path(sys.executable).resolve().parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self.folder("home")),
            "TMPDIR": str(self.folder("tmp")),
            "SENDOFF_HOME": str(self.path("sendoff")),
            "UV_CACHE_DIR": str(self.path("uv-cache")),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        passed = ("PIP_", "UV_", "SSL_CERT", "DOCKER_")
        outer = {name: value for name, value in os.environ.items() if name.startswith(passed) or name.endswith("_CA_BUNDLE")}
        return {**outer, **own}

    def folder(self, *names: str) -> Path:
        """Returns a folder below that of the benchmark, made when it is missing."""
        path = self.path(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def command(self, *words: object, folder: object = None, home: object = None, **rest) -> Command:
        """Returns a command of this world; `home` is another `SENDOFF_HOME`."""
        environment = {**self.environment, "SENDOFF_HOME": str(home)} if home else self.environment
        return Command([str(word) for word in words], environment, str(folder or WORK), **rest)

    def ask(self, *words: object, folder: object = None, home: object = None) -> dict:
        """Runs sendoff and returns its answer."""
        command = self.command(self.sendoff, *words, "--output", "json", folder=folder, home=home)
        return json.loads(self.run(command.words, command.folder, command.environment))

    def run(self, words, folder, environment) -> bytes:
        """Runs what is not measured, and returns what it printed."""
        done = subprocess.run(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            raise Failed(f"`{' '.join(map(str, words))}` ended with {done.returncode}:\n{done.stderr[-2000:].decode(errors='replace')}")
        return done.stdout

    def uv(self, home=None) -> str:
        """Returns the `uv` that sendoff uses: of PATH, else the one that it installed."""
        found = shutil.which("uv", path=self.environment["PATH"])
        return found or str((home or self.path("sendoff")) / "data" / "tools" / "uv" / "bin" / "uv")

    def project(self, name: str, files: dict) -> Path:
        """Returns a folder with these files and no others."""
        folder = self.path("projects", name)
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    @cached_property
    def big_tree(self) -> Path:
        """Files of many sizes, half of the bytes compressible; a run config beside them."""
        folder = self.path("projects", f"big-{self.sizes.big_files}-{self.sizes.big_bytes}")
        return made(folder, lambda: write_big_tree(folder / "src", self.sizes.big_files, self.sizes.big_bytes))

    @cached_property
    def small_tree(self) -> Path:
        """Many small files in a git repository, all committed."""
        folder = self.path("projects", f"small-{self.sizes.small_files}")

        def fill():
            write_small_tree(folder / "src", self.sizes.small_files)
            git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
            for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
                self.run([*git, *words], folder, self.environment)

        return made(folder, fill)

    def stop(self) -> None:
        """Removes what was made elsewhere, and ends the managed server, if this world started one."""
        for remove in reversed(self.remove):
            try:
                remove()
            except Failed as error:
                print(error, file=sys.stderr)
        if (self.path("sendoff", "data", "tracking", "server.json")).exists():
            command = self.command(self.sendoff, "tracking", "stop")
            subprocess.run(command.words, env=command.environment, cwd=command.folder, stdin=subprocess.DEVNULL, capture_output=True)


def made(folder: Path, fill) -> Path:
    """Fills a folder once; a half-filled one is filled anew."""
    mark = folder.with_suffix(".complete")
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text('command: "true"\nsource_directory: src\n')
        fill()
        mark.touch()
    return folder


def write_big_tree(root: Path, count: int, total: int) -> None:
    """Writes files whose sizes spread over three orders of magnitude; every second one is noise."""
    source = random.Random(7)
    words = [f"{source.getrandbits(24):x}" for _ in range(4000)]
    weights = [source.lognormvariate(0, 1.2) for _ in range(count)]
    scale = total / sum(weights)
    for number, weight in enumerate(weights):
        path = root / f"part{number // 100:03}" / f"file{number:05}.{'bin' if number % 2 else 'txt'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(weight * scale) + 1
        content = source.randbytes(size) if number % 2 else " ".join(source.choices(words, k=size // 6 + 2)).encode()[:size]
        path.write_bytes(content)


def write_small_tree(root: Path, count: int) -> None:
    """Writes a tree like that of a large code base: 100 small files to a folder, folders three deep."""
    source = random.Random(11)
    for number in range(count):
        path = root / f"area{number // 5000:02}" / f"module{number // 100:04}" / f"file_{number % 100:02}.py"
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.write_text(f"value = {source.getrandbits(64)}\n")


def target_folder(repository: Path) -> Path:
    """Returns where cargo builds."""
    out = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], cwd=repository, capture_output=True, check=True
    )
    return Path(json.loads(out.stdout)["target_directory"])


def machine() -> str:
    """Describes this machine in general terms."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB memory, Linux {os.uname().release.split('-')[0]}"

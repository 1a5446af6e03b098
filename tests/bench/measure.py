"""Measures commands against each other: interleaved, in the same minutes, by the median."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Callable, Optional, Sequence


class Failed(Exception):
    """A command did not do what it was measured for."""


# Two commands are the same only when they are one object.
@dataclass(eq=False)
class Command:
    """A command line that can be measured."""

    words: Sequence[str]
    environment: dict
    folder: str
    # Where stdout goes; nowhere when it is not looked at.
    stdout: Optional[str] = None
    # Runs before each time, unmeasured.
    before: Callable[[], None] = lambda: None
    # Runs after each time, unmeasured; raises `Failed` when the command did not do its work.
    after: Callable[[], None] = lambda: None


# A process starts out with the peak of the one that made it, so a small one of its own has to make what is measured.
PEAK = "import os, resource, sys; s = os.waitstatus_to_exitcode(os.wait4(os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:]), 0)[1]); \
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(s)"


def peak_bytes(command: Command, talk: str) -> int:
    """Runs a command and returns the largest resident memory of any of its processes."""
    result = talk + ".peak"
    once(replace(command, words=[sys.executable, "-I", "-S", "-c", PEAK, result, *command.words]), talk)
    with open(result) as text:
        # Linux counts in KiB.
        return int(text.read()) * 1024


def once(command: Command, talk: str) -> float:
    """Runs a command, fails loudly when it fails, and returns the seconds that it took; `talk` is a file for what it says."""
    command.before()
    with open(talk, "w+b") as stderr, open(command.stdout or os.devnull, "wb") as stdout:
        start = time.perf_counter()
        child = subprocess.Popen(
            command.words, env=command.environment, cwd=command.folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        child.wait()
        taken = time.perf_counter() - start
        if child.returncode != 0:
            stderr.seek(0)
            said = stderr.read()[-2000:].decode(errors="replace")
            raise Failed(f"`{' '.join(command.words)}` ended with {child.returncode}:\n{said}")
    command.after()
    return taken


def interleaved(commands: Sequence[Command], rounds: int, talk: str) -> list[list[float]]:
    """Runs the commands in turn, `rounds` times after one that does not count, and returns the seconds of each.

    Every second round goes backwards, so that none always runs in another's wake.
    """
    results: list[list[float]] = [[] for _ in commands]
    for number in range(rounds + 1):
        order = list(range(len(commands)))
        for index in reversed(order) if number % 2 else order:
            result = once(commands[index], talk)
            if number > 0:
                results[index].append(result)
    return results


def seconds(executions: Sequence[float]) -> float:
    """Returns the median of the times."""
    return median(executions)


def fastest(commands: Sequence[Command], talk: str) -> Command:
    """Returns the command that is the fastest of three runs; all were run."""
    best = {index: min(once(command, talk) for _ in range(3)) for index, command in enumerate(commands)}
    return commands[min(best, key=lambda index: best[index])]

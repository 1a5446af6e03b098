"""Measures commands against each other: interleaved, in the same minutes, by the median."""

import os
import subprocess
import time
from dataclasses import dataclass
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


@dataclass
class Once:
    """One execution of a command."""

    seconds: float
    # The largest resident memory of any of its processes.
    peak_bytes: int


def once(command: Command, talk: str) -> Once:
    """Runs a command and fails loudly when it fails; `talk` is a file for what it says."""
    command.before()
    with open(talk, "w+b") as stderr, open(command.stdout or os.devnull, "wb") as stdout:
        start = time.perf_counter()
        child = subprocess.Popen(
            command.words, env=command.environment, cwd=command.folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            stderr.seek(0)
            said = stderr.read()[-2000:].decode(errors="replace")
            raise Failed(f"`{' '.join(command.words)}` ended with {child.returncode}:\n{said}")
    command.after()
    # Linux counts in KiB.
    return Once(seconds, usage.ru_maxrss * 1024)


def interleaved(commands: Sequence[Command], rounds: int, talk: str) -> list[list[Once]]:
    """Runs the commands in turn, `rounds` times after one that does not count, and returns the executions of each.

    Every second round goes backwards, so that none always runs in another's wake.
    """
    results: list[list[Once]] = [[] for _ in commands]
    for number in range(rounds + 1):
        order = list(range(len(commands)))
        for index in reversed(order) if number % 2 else order:
            result = once(commands[index], talk)
            if number > 0:
                results[index].append(result)
    return results


def seconds(executions: Sequence[Once]) -> float:
    """Returns the median of the times."""
    return median(execution.seconds for execution in executions)


def fastest(commands: Sequence[Command], talk: str) -> Command:
    """Returns the command that is the fastest of three runs; all were run."""
    best = {index: min(once(command, talk).seconds for _ in range(3)) for index, command in enumerate(commands)}
    return commands[min(best, key=lambda index: best[index])]

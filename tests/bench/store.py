"""A job store with very many jobs, of the form that sendoff writes: one real job, copied under other names, rows and folders."""

import json
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

from measure import Failed
from world import World

RUNNING = 3


@contextmanager
def full(world: World, home: Path):
    """Fills the store and keeps a few jobs running in it; gives the id of a job in its middle."""
    make(world, home)
    folder = world.project("sleeper", {"run.yaml": 'command: "exec sleep 600"\n'})
    running = [world.ask("submit", "run.yaml", "--no-tracking", "--detach", folder=folder, home=home)["id"] for _ in range(RUNNING)]
    try:
        middle = f"bench-{world.sizes.jobs // 2:06}"
        answers = world.ask("list", home=home)["jobs"]
        states = sorted(job["state"] for job in answers if job["id"] in running)
        if states != ["running"] * RUNNING or world.ask("status", middle, home=home)["id"] != middle:
            raise Failed(f"the store does not answer as it should: {states}")
        yield middle
    finally:
        for job in running:
            world.ask("cancel", job, home=home)
            world.ask("delete", job, home=home)


def make(world: World, home: Path) -> None:
    mark = home / f"complete-{world.sizes.jobs}"
    if mark.exists():
        return
    shutil.rmtree(home, ignore_errors=True)
    folder = world.project("template", {"run.yaml": 'command: "true"\n'})
    world.ask("submit", "run.yaml", "--no-tracking", "--job-id", "template", folder=folder, home=home)
    jobs = home / "data" / "jobs"
    with closing(sqlite3.connect(home / "data" / "jobs.db")) as database:
        created, active, text = database.execute("SELECT created_at, active, record FROM jobs WHERE id = 'template'").fetchone()
        if active or json.loads(text)["state"] == "preparing":
            raise Failed("the job that is copied has not ended")
        with database:
            for number in range(world.sizes.jobs):
                name = f"bench-{number:06}"
                record = text.replace("template", name)
                database.execute("INSERT INTO jobs VALUES (?, ?, ?, ?)", (name, created - world.sizes.jobs + number, 0, record))
                (jobs / name / "attempt-1").mkdir(parents=True)
                (jobs / name / "job.json").write_text(record)
                for file in ("closed", "exit.json"):
                    if (jobs / "template" / "attempt-1" / file).exists():
                        shutil.copyfile(jobs / "template" / "attempt-1" / file, jobs / name / "attempt-1" / file)
    mark.touch()

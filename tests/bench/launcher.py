"""MLflow's own launcher, from an installation of its own: the same work by `mlflow run`."""

from measure import Command, Failed, interleaved, seconds
from table import Row, times
from world import World

WORK = "the same work, the same server"
ENTRY = "entry_points: {main: {command: python script.py}}\n"


def local(world: World, script: dict, ours: Command) -> Row:
    """`mlflow run --env-manager local`."""
    return against(world, script, "", ["--env-manager", "local"], "`mlflow run --env-manager local`", ours)


def docker(world: World, script: dict, image: str, ours: Command) -> Row:
    """`mlflow run` with `docker_env`, which builds an image with the project in it each time."""
    row = against(world, script, f"docker_env: {{image: '{image}'}}\n", ["--build-image"], "`mlflow run` with `docker_env`", ours)
    # It calls them after the project.
    world.remove.append(lambda: world.run(["docker", "rmi", "--force", "bench"], "/", world.environment))
    return row


def against(world: World, script: dict, lines: str, flags: list[str], baseline: str, ours: Command) -> Row:
    server, bin = world.ask("tracking", "status"), world.path("mlflow", "bin")
    if not (bin / "mlflow").exists():
        try:
            install(world, f"mlflow=={server['mlflow_version']}")
        except Failed as error:
            world.missing.append(f"mlflow, for `mlflow run`: {error}")
            return Row(WORK, baseline, "", "", "not measured", "reported", None)
    folder = world.project("mlproject", {**script, "MLproject": f"name: bench\n{lines}{ENTRY}"})
    theirs = world.command(bin / "mlflow", "run", *flags, "--experiment-name", "bench", ".", folder=folder)
    path = f"{bin}:{theirs.environment['PATH']}"
    theirs.environment = {**theirs.environment, "MLFLOW_TRACKING_URI": server["uri"], "PATH": path}
    taken, by_mlflow = interleaved([ours, theirs], world.sizes.middle, world.talk)
    return times(WORK, baseline, seconds(by_mlflow), seconds(taken), None)


def install(world: World, wanted: str) -> None:
    venv = world.path("mlflow")
    world.run([world.uv(), "venv", "--quiet", "--clear", "--no-project", venv], "/", world.environment)
    words = [world.uv(), "pip", "install", "--quiet", "--compile-bytecode", "--python", venv / "bin" / "python", wanted]
    world.run(words, "/", world.environment)

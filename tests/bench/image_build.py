"""The row of the image: an environment of which one package has changed, by sendoff and by `docker build`."""

import itertools
import os
import shutil
import time
import zipfile
from pathlib import Path

import containers
from measure import Failed, interleaved, seconds
from table import Row, times
from world import World

PACKAGES = ["scikit-learn", "mlflow-skinny"]
# As our own: packages and their byte code in one layer, downloads in a cache that outlives the build.
DOCKERFILE = """FROM {base}
COPY uv /usr/local/bin/uv
RUN uv venv --quiet --system-site-packages /opt/env
COPY mark /mark
RUN --mount=type=secret,id=settings --mount=type=cache,id=bench-uv,target=/var/cache/uv \\
    . /run/secrets/settings && UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy \\
    uv pip install --quiet --compile-bytecode --python /opt/env/bin/python --find-links /mark {packages} mark
ENV PATH=/opt/env/bin:$PATH
"""


def build(world: World) -> list[Row]:
    """The image of an environment of which one package is another each time, until a container of it has run."""
    containers.engine(world)
    command, number = builder(world), itertools.count(time.time_ns())
    home = world.path("docker-build")
    folder = world.project("docker-build", {"run.yaml": config("0"), "empty/.keep": ""})
    mark, uv = folder / "mark", world.uv(home)
    world.ask("submit", "run.yaml", "--no-tracking", "--set", "command=true", "--set", "environment.pip_packages=[]", folder=folder, home=home)
    shutil.copy(uv, folder / "uv")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base="python:3.11-slim", packages=" ".join(PACKAGES)))
    settings = folder / "settings"
    settings.write_text(exports(world.environment))

    def change() -> None:
        version = f"0.{next(number)}"
        wheel(mark, version)
        (folder / "run.yaml").write_text(config(version))

    def forget() -> None:
        world.ask("env", "prune", home=home)
        world.run(["docker", "rmi", "--force", "bench-build"], "/", world.environment)

    secret = f"--secret id=settings,src={settings}"
    line = f"{command} build --quiet --network host {secret} --tag bench-build . && docker run --rm bench-build python -c 'import sklearn, mark'"
    theirs = world.command("sh", "-c", line, folder=folder, before=change, after=forget)
    theirs.environment = {**theirs.environment, "DOCKER_BUILDKIT": "1"}
    ours = world.command(world.sendoff, "submit", "run.yaml", "--no-tracking", folder=folder, home=home, before=change, after=forget)
    by_docker, taken = interleaved([theirs, ours], world.sizes.middle, world.talk)
    work = "an image of which one package has changed, until a container of it has run"
    return [times(work, "`docker build` and `docker run --rm`, uv, byte code, cache", seconds(by_docker), seconds(taken), 1.1)]


def config(version: str) -> str:
    packages = "".join(f", {name}" for name in PACKAGES)
    return (
        "command: python -c 'import sklearn, mark'\nsource_directory: empty\ncompute_target: docker\n"
        f"environment: {{python: 3.11, pip_packages: [mark=={version}{packages}], find_links: [mark]}}\n"
    )


def wheel(folder: Path, version: str) -> None:
    """Writes the package that changes, alone in its folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    info = f"mark-{version}.dist-info"
    with zipfile.ZipFile(folder / f"mark-{version}-py3-none-any.whl", "w") as file:
        file.writestr("mark.py", f"VERSION = '{version}'\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: mark\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def exports(environment: dict) -> str:
    """Returns what leads to a package index, as lines of a shell."""
    return "".join(f"export {name}='{value}'\n" for name, value in environment.items() if name.startswith(("PIP_INDEX", "UV_")))


def builder(world: World) -> str:
    """Returns a `docker` that builds with BuildKit: newer ones need a plugin for it, older ones do not."""
    for folder in world.environment["PATH"].split(os.pathsep):
        docker = Path(folder) / "docker"
        if docker.exists():
            version = world.run([docker, "version", "--format", "{{.Client.Version}}"], "/", world.environment).decode()
            if int(version.split(".")[0]) < 23:
                return str(docker)
            try:
                world.run([docker, "buildx", "version"], "/", world.environment)
                return str(docker)
            except Failed:
                pass
    raise Failed("`docker` cannot build with BuildKit: its plugin `buildx` is missing")

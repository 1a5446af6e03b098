# What sendoff wants to know of an image's Python, as one line of JSON.
import json
import os
import platform
import re
import sys
import sysconfig


def packages():
    from importlib import metadata

    for each in metadata.distributions():
        if each.metadata["Name"]:
            yield re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(), each.version


try:
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
except (AttributeError, OSError, ValueError):
    glibc = None
answer = {
    "program": sys.executable,
    "version": platform.python_version(),
    "platform": sysconfig.get_platform(),
    "glibc": glibc,
    "packages": dict(packages()),
}
print(json.dumps(answer))

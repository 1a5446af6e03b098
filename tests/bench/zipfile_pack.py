"""Packs a folder with Python's `zipfile` at level 1; or, with `--count`, reads a whole archive with it and says what it holds.

Usage: zipfile_pack.py FOLDER GOAL | zipfile_pack.py --count ARCHIVE
"""

import json
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def pack(folder: Path, goal: str) -> None:
    with ZipFile(goal, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


def count(archive: ZipFile) -> dict:
    """Reads every byte, so that each checksum is compared."""
    held = 0
    for name in archive.namelist():
        with archive.open(name) as member:
            while piece := member.read(1 << 20):
                held += len(piece)
    return {"files": len(archive.namelist()), "bytes": held}


if sys.argv[1] == "--count":
    with ZipFile(sys.argv[2]) as archive:
        print(json.dumps(count(archive)))
else:
    pack(Path(sys.argv[1]), sys.argv[2])

"""Unpacks a snapshot and verifies that it is the one that was packed.

Usage: python -I -S unpack.py ARCHIVE SNAPSHOT_ID FOLDER

Reads the zip's own directory instead of importing `zipfile`: start-up time is paid by every job.
"""
import os
import sys
import zlib
from struct import unpack_from

try:
    from _sha256 import sha256
except ImportError:
    try:
        from _sha2 import sha256
    except ImportError:
        from hashlib import sha256


def fail(reason):
    sys.stderr.write("could not unpack the snapshot: %s\n" % reason)
    sys.exit(1)


def entries(archive, size):
    """Yields (name, method, mode, packed size, offset of the local header) from the central directory."""
    tail = min(size, 65557)
    archive.seek(size - tail)
    end = archive.read(tail)
    at = end.rfind(b"PK\5\6")
    if at < 0:
        fail("it is not a zip file")
    count, length, start = unpack_from("<HII", end, at + 10)
    locator = at - 20
    if locator >= 0 and end[locator:locator + 4] == b"PK\6\7":
        archive.seek(unpack_from("<Q", end, locator + 8)[0])
        count, length, start = unpack_from("<QQQ", archive.read(56), 32)
    archive.seek(start)
    directory = archive.read(length)
    at = 0
    for _ in range(count):
        if directory[at:at + 4] != b"PK\1\2":
            fail("its directory is damaged")
        method = unpack_from("<H", directory, at + 10)[0]
        packed, plain, n, extra, comment = unpack_from("<IIHHH", directory, at + 20)
        attributes, offset = unpack_from("<II", directory, at + 38)
        name = directory[at + 46:at + 46 + n].decode("utf-8")
        field, stop = at + 46 + n, at + 46 + n + extra
        while field + 4 <= stop:
            kind, width = unpack_from("<HH", directory, field)
            if kind == 1:
                values = list(unpack_from("<%dQ" % (width // 8), directory, field + 4))
                if plain == 0xFFFFFFFF:
                    plain = values.pop(0)
                if packed == 0xFFFFFFFF:
                    packed = values.pop(0)
                if offset == 0xFFFFFFFF:
                    offset = values.pop(0)
            field += 4 + width
        yield name, method, attributes >> 16, packed, offset
        at = stop + comment


def chunks(archive, method, packed, offset):
    archive.seek(offset)
    n, extra = unpack_from("<HH", archive.read(30), 26)
    archive.seek(offset + 30 + n + extra)
    inflate = zlib.decompressobj(-15) if method == 8 else None
    while packed:
        piece = archive.read(min(packed, 1 << 18))
        if not piece:
            fail("it is cut short")
        packed -= len(piece)
        if not inflate:
            yield piece
            continue
        # A piece may inflate to a thousand times its size, which must not all be in memory.
        while piece:
            yield inflate.decompress(piece, 1 << 20)
            piece = inflate.unconsumed_tail
    if inflate:
        yield inflate.flush()


def main():
    source, wanted, folder = sys.argv[1:]
    lines, made = [], set()
    with open(source, "rb") as archive:
        size = os.fstat(archive.fileno()).st_size
        for name, method, mode, packed, offset in entries(archive, size):
            parts = name.split("/")
            if name.startswith("/") or ".." in parts or "" in parts:
                fail("`%s` leaves its folder" % name)
            path = os.path.join(folder, name)
            parent = os.path.dirname(path)
            if parent not in made:
                if os.path.realpath(parent) != os.path.join(os.path.realpath(folder), *parts[:-1]):
                    fail("`%s` goes through a link" % name)
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            digest = sha256()
            if mode & 0o170000 == 0o120000:
                target = b"".join(chunks(archive, method, packed, offset))
                digest.update(target)
                os.symlink(target, path)
                kind = "120000"
            else:
                with open(path, "xb") as output:
                    for piece in chunks(archive, method, packed, offset):
                        digest.update(piece)
                        output.write(piece)
                kind = "100755" if mode & 0o100 else "100644"
                os.chmod(path, 0o755 if kind == "100755" else 0o644)
            shown = name.replace("\\", "\\\\").replace("\n", "\\n")
            lines.append((name.encode(), "%s %s %s\n" % (kind, digest.hexdigest(), shown)))
    manifest = "".join(line for _, line in sorted(lines))
    found = sha256(manifest.encode()).hexdigest()
    if found != wanted:
        fail("its content is %s, not %s" % (found[:12], wanted[:12]))


try:
    main()
except (OSError, ValueError, zlib.error) as error:
    fail(error)

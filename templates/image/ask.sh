#!/bin/sh
# Runs a program text with the image's own Python; 3 says that it has none.
for name in python3 python; do
    if command -v "$name" >/dev/null; then
        exec "$name" -I -c "$1"
    fi
done
exit 3

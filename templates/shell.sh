#!/bin/sh
# Becomes what `sendoff shell` is asked for beside a job: a command, or the better shell of those that are there.
unset TINI_KILL_PROCESS_GROUP
[ "$#" -eq 0 ] || exec "$@"
if command -v bash >/dev/null 2>&1; then
    exec bash
fi
exec sh

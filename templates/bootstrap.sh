#!/bin/sh
# sendoff job {{ id }}, attempt {{ attempt }}: the bootstrap around the user's command.
# Steps: unpack, preflight, setup, command. A step that fails ends the job and is named in its log.
set -u

attempt={{ folder | sh }}
python={{ python | sh }}

step() { printf '[sendoff] %s\n' "$*"; }
fail() { # STEP CODE: says where the job ended before its command
    printf '%s\n' "$1" >"$attempt/failed-step"
    printf '[sendoff] job {{ id }} ended in step: %s (status %s)\n' "$1" "$2"
    exit "$2"
}

# The pipe on stdin ends when the supervisor dies: then nothing of this job may stay.
exec 3<&0 </dev/null
(trap '' TERM INT HUP; IFS= read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
watch=$!
exec 3<&-
# TERM goes to the whole group; the shell itself waits for the command and reports its status.
trap : TERM INT HUP

{% for name, value in variables %}
export {{ name }}={{ value | sh }}
{% endfor %}
if [ -f "$attempt/secrets" ]; then
    . "$attempt/secrets"
    rm -f "$attempt/secrets"
fi

step "unpack: snapshot {{ snapshot[:12] }}"
mkdir -p "$attempt/work" "$attempt/collected" || fail unpack 1
"$python" -I -S "$attempt/unpack.py" "$attempt/snapshot.zip" {{ snapshot | sh }} "$attempt/work" || fail unpack $?
rm -f "$attempt/snapshot.zip"
cd "$attempt/work" || fail unpack 1
{% for folder in outputs %}
mkdir -p {{ folder | sh }}
{% endfor %}
{% if preflight %}
step "preflight: asking the tracker"
"$python" -I -S "$attempt/preflight.py" || fail preflight $?
{% endif %}
{% if setup is not none %}
step "setup"
set +u
{{ setup }}
code=$?
[ "$code" -eq 0 ] || fail setup "$code"
{% endif %}
step "command: "{{ shown | sh }}
: >"$attempt/started"
{{ command }}
code=$?
printf '%s\n' "$code" >"$attempt/code"
kill -KILL "$watch" 2>/dev/null
exit "$code"

#!/bin/sh
# sendoff job {{ id }}, attempt {{ attempt }}: the bootstrap around the user's command.
#
# Steps, each named in the log: unpack, preflight, setup, command. The first that fails ends the job.
{% if in_container %}
# All output is the container's. What is written down for whoever reads it later, in $sendoff_state:
{% else %}
# All output is in $sendoff_attempt/log. What is written down for whoever reads it later, in $sendoff_state:
{% endif %}
#   step         the step that was come to
#   failed-step  the step that failed, unless it was the command
#   started      there once the command has started
#   code         the command's exit code, 128 + n for signal n
{% if in_container %}
#   ended        when that was, by a clock that all containers of the engine share
{% endif %}
set -u

# Named so that no variable of the job's is meant.
sendoff_attempt={{ folder | sh }}
sendoff_state={{ state | sh }}
sendoff_python={{ python | sh }}
sendoff_step=
sendoff_stopped=

step() { # NAME TEXT
    # Between two of its children nobody else has heard of it.
    [ -z "$sendoff_stopped" ] || exit 143
    sendoff_step=$1
    printf '%s\n' "$1" >"$sendoff_state/step"
    printf '[sendoff] %s: %s\n' "$1" "$2"
}
{% if in_container %}
note_end() {
    read -r sendoff_uptime _ </proc/uptime && printf '%s\n' "$sendoff_uptime" >"$sendoff_state/ended"
}
{% endif %}
fail() { # NAME CODE
    sendoff_step=
{% if in_container %}
    note_end
{% endif %}
    printf '%s\n' "$1" >"$sendoff_state/failed-step"
    printf '[sendoff] job {{ id }} ended in its step %s (status %s)\n' "$1" "$2"
    exit "$2"
}
# Called by the trap below, whichever way this shell ends.
# shellcheck disable=SC2317
left() { # CODE
{% if not in_container %}
    kill -KILL "$sendoff_watch" 2>/dev/null
{% endif %}
    # The block of the run config runs in this shell, and may end it.
    [ "$sendoff_step" != setup ] || fail setup "$1"
}

# TERM goes to the whole group; this shell waits for the command all the same, and reports its status.
trap 'sendoff_stopped=1' TERM INT HUP
{% if in_container %}
# One stream for both, since an engine keeps no order between two.
exec 2>&1
# Secrets come over stdin; they are in no file, and not in what the engine keeps of the container.
sendoff_secrets=$(cat)
exec </dev/null
# Their last line says that they are all there: a supervisor that died in the middle leaves the end of the input too.
case $sendoff_secrets in
*'# complete') ;;
*)
    echo '[sendoff] the supervisor died before it had handed over what the job needs'
    fail start 1
    ;;
esac
unset TINI_KILL_PROCESS_GROUP
{% else %}
# The pipe on stdin ends when the supervisor dies: then nothing of this job may stay.
exec 3<&0 </dev/null
(trap '' TERM INT HUP; IFS= read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
sendoff_watch=$!
exec 3<&-
{% endif %}
trap 'left $?' EXIT

{% for name, value in variables %}
export {{ name }}={{ value | sh }}
{% endfor %}
{% if in_container %}
eval "$sendoff_secrets"
unset sendoff_secrets
{% else %}
# Secrets come in a file of their own, which is gone before anything of the job runs.
if [ -f "$sendoff_attempt/secrets" ]; then
    # shellcheck disable=SC1091
    . "$sendoff_attempt/secrets"
    rm -f "$sendoff_attempt/secrets"
fi
{% endif %}

step unpack "snapshot {{ snapshot[:12] }}"
mkdir -p "$sendoff_attempt/work" "$sendoff_attempt/collected" || fail unpack 1
"$sendoff_python" -I -S "$sendoff_attempt/unpack.py" "$sendoff_attempt/snapshot.zip" {{ snapshot | sh }} "$sendoff_attempt/work" || fail unpack $?
rm -f "$sendoff_attempt/snapshot.zip"
cd "$sendoff_attempt/work" || fail unpack 1
unset OLDPWD
{% for folder in outputs %}
mkdir -p {{ folder | sh }} || fail unpack 1
{% endfor %}
{% if preflight %}

step preflight "asking the tracker"
"$sendoff_python" -I -S "$sendoff_attempt/preflight.py" || fail preflight $?
{% endif %}
{% if setup is not none %}

step setup "the block of the run config"
set +u
# shellcheck disable=all
{
{{ setup }}
}
sendoff_code=$?
[ "$sendoff_code" -eq 0 ] || fail setup "$sendoff_code"
{% endif %}

step command {{ shown | sh }}
# Not with `:`, whose failed redirection would end the shell.
true >"$sendoff_state/started"
[ -z "$sendoff_stopped" ] || exit 143
{{ command }}
sendoff_code=$?
{% if in_container %}
note_end
{% endif %}
printf '%s\n' "$sendoff_code" >"$sendoff_state/code"
{% if in_container %}
# Nobody has to ask for what is not there; what is in it keeps it.
rmdir "$sendoff_attempt/collected" 2>/dev/null
{% else %}
# The block of the run config may have put another trap in place of ours.
kill -KILL "$sendoff_watch" 2>/dev/null
{% endif %}
exit "$sendoff_code"

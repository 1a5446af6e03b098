{% for name, value in variables %}
export {{ name }}={{ value | sh }}
{% endfor %}
{% if executables %}
# The service keeps no modes.
chmod +x -- {% for path in executables %}{{ path | sh }}{% if not loop.last %} {% endif %}{% endfor %}

{% endif %}
{% if setup is not none %}
# The block runs in this shell, and may end it; whichever way, the service must not take its code for the command's.
trap 'echo "[sendoff] the job ended in its step setup (status $?)"; exit 240' EXIT
{
{{ setup }}
}
sendoff_code=$?
[ "$sendoff_code" -eq 0 ] || exit "$sendoff_code"
unset sendoff_code
trap - EXIT
{% endif %}
{{ command }}

{% for name, value in variables %}
export {{ name }}={{ value | sh }}
{% endfor %}
{% if executables %}
# The service keeps no modes.
chmod +x -- {% for path in executables %}{{ path | sh }}{% if not loop.last %} {% endif %}{% endfor %}

{% endif %}
{% if setup is not none %}
{
{{ setup }}
} || exit $?
{% endif %}
{{ command }}

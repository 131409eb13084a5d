{# The newest stamp, where it is older than so long, or where there is none. #}
{% test fresh_within(model, column_name, period) %}

select max({{ column_name }}) as newest
from {{ model }}
having max({{ column_name }}) is null or max({{ column_name }}) < now() - interval '{{ period }}'

{% endtest %}

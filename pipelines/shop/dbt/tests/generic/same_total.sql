{# Two totals that must be one. #}
{% test same_total(model, column_name, to, field) %}

with totals as (
    select
        (select coalesce(sum({{ column_name }}), 0) from {{ model }}) as here,
        (select coalesce(sum({{ field }}), 0) from {{ to }}) as there
)

select here, there
from totals
where here <> there

{% endtest %}

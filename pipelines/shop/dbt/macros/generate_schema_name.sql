{# A model's schema is the one it names; dbt's own macro puts the target's before it, as in marts_staging. #}
{% macro generate_schema_name(custom_schema_name, node) %}
    {{- custom_schema_name | default(target.schema, true) | trim -}}
{% endmacro %}

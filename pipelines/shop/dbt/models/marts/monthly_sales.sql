{# Over one table that stays from build to build, since what is replaced takes the views over it with it. #}
{{
    config(
        materialized="materialized_view",
        indexes=[{"columns": ["order_month", "category"], "unique": true}],
    )
}}

select
    order_month,
    category,
    count(distinct order_id) as orders,
    cast(sum(quantity) as bigint) as quantity,
    cast(sum(line_total) as numeric(14, 2)) as sales
from {{ ref('fct_sales') }}
where status <> 'cancelled'
group by order_month, category

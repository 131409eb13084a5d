{{ config(indexes=[{"columns": ["customer_id"], "unique": true}]) }}

select
    customer_id,
    first_name,
    last_name,
    email,
    country,
    created_at,
    updated_at as last_updated
from {{ ref('stg_customers') }}

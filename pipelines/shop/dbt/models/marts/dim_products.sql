{{ config(indexes=[{"columns": ["product_id"], "unique": true}]) }}

select
    product_id,
    product_name,
    category,
    price,
    created_at,
    updated_at as last_updated
from {{ ref('stg_products') }}

select
    id as order_id,
    customer_id,
    order_date,
    status,
    created_at,
    updated_at
from {{ source('raw', 'orders') }}

select
    id as order_item_id,
    order_id,
    product_id,
    quantity,
    unit_price as item_price,
    cast(quantity * unit_price as numeric(14, 2)) as line_total,
    created_at,
    updated_at
from {{ source('raw', 'order_items') }}

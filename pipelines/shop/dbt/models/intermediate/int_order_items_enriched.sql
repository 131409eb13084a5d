select
    items.order_item_id,
    items.order_id,
    items.product_id,
    products.product_name,
    products.category,
    items.quantity,
    items.item_price,
    items.line_total,
    items.created_at,
    items.updated_at
from {{ ref('stg_order_items') }} as items
left join {{ ref('stg_products') }} as products on products.product_id = items.product_id

{{ config(indexes=[{"columns": ["order_id"], "unique": true}]) }}

with items as (
    select
        order_id,
        count(*) as items,
        cast(sum(quantity) as bigint) as quantity,
        sum(line_total) as amount,
        -- in whole cents, half a cent up: where an average is no decimal, it would be rounded by its binary digits
        floor((200 * sum(item_price) + count(*)) / (2 * count(*))) / 100 as average_price,
        min(item_price) as lowest_price,
        max(item_price) as highest_price,
        max(updated_at) as updated_at
    from {{ ref('int_order_items_enriched') }}
    group by order_id
)

-- An order without items counts with none; it has no price.
select
    orders.order_id,
    orders.customer_id,
    orders.country,
    orders.order_date,
    orders.status,
    coalesce(items.items, 0) as total_items,
    coalesce(items.quantity, 0) as total_quantity,
    cast(coalesce(items.amount, 0) as numeric(14, 2)) as order_total,
    cast(items.average_price as numeric(12, 2)) as avg_item_price,
    cast(items.lowest_price as numeric(12, 2)) as min_item_price,
    cast(items.highest_price as numeric(12, 2)) as max_item_price,
    greatest(orders.updated_at, items.updated_at) as last_updated
from {{ ref('int_orders_enriched') }} as orders
left join items on items.order_id = orders.order_id

{#
    What each item of an order came to. The table follows its source: a row whose values have changed is written anew,
    be it by its item, its order or its product, and the hook removes those whose item or order is gone. Rows are
    compared and no stamp is: the newest stamp that was seen says nothing of a row that was committed late, or is gone.
    Both statements are one transaction.
#}
{{
    config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="order_item_id",
        on_schema_change="fail",
        indexes=[{"columns": ["order_item_id"], "unique": true}],
        meta={"assay": {"partition_by": "order_month"}},
        post_hook="
            delete from {{ this }} as sale
            where not exists (
                select 1
                from {{ ref('int_order_items_enriched') }} as item
                join {{ ref('int_orders_enriched') }} as placed on placed.order_id = item.order_id
                where item.order_item_id = sale.order_item_id
            )
        ",
    )
}}

select
    items.order_item_id,
    items.order_id,
    orders.customer_id,
    items.product_id,
    items.category,
    orders.order_date,
    cast(date_trunc('month', orders.order_date) as date) as order_month,
    orders.status,
    items.quantity,
    items.item_price,
    items.line_total,
    greatest(items.updated_at, orders.updated_at) as last_updated
from {{ ref('int_order_items_enriched') }} as items
join {{ ref('int_orders_enriched') }} as orders on orders.order_id = items.order_id
{% if is_incremental() %}
except
select * from {{ this }}
{% endif %}

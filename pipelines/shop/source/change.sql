-- What becomes of orders that are there: shop.rows says of how many, shop.seed of which.
-- Orders go a step on their way.
update orders
set status = case status when 'pending' then 'processing' when 'processing' then 'shipped' else 'completed' end
where id in (
    select id
    from orders
    where status in ('pending', 'processing', 'shipped')
    order by hashint8extended(id, current_setting('shop.seed')::bigint), id
    limit current_setting('shop.rows')::bigint
);

-- Somebody wants one more of an item.
update order_items
set quantity = quantity + 1
where id in (
    select id
    from order_items
    order by hashint8extended(id, current_setting('shop.seed')::bigint + 1), id
    limit current_setting('shop.rows')::bigint
);

-- Items are struck from their orders.
delete from order_items
where id in (
    select id
    from order_items
    order by hashint8extended(id, current_setting('shop.seed')::bigint + 2), id
    limit current_setting('shop.rows')::bigint / 10
);

-- Orders are struck with all of their items.
with
    struck as (
        select id
        from orders
        order by hashint8extended(id, current_setting('shop.seed')::bigint + 3), id
        limit current_setting('shop.rows')::bigint / 10
    ),
    items as (delete from order_items where order_id in (select id from struck))
delete from orders
where id in (select id from struck);

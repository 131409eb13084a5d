-- More of everything: shop.customers, shop.products and shop.orders say how many, shop.seed which.
-- What is picked by a hash of seed and number is the same wherever and however often it is run.
insert into customers (first_name, last_name, email, country)
select
    (array['Ada', 'Bram', 'Chloé', 'Dario', 'Emi', 'Femi', 'Greta', 'Hugo'])[1 + abs(hashint8extended(n, seed) % 8)],
    'Customer ' || n,
    'customer' || n || '@example.com',
    (array['France', 'Italy', 'Japan', 'Netherlands', 'Nigeria'])[1 + abs(hashint8extended(n, seed + 1) % 5)]
from (
    select current_setting('shop.seed')::bigint * 1000 as seed, (select coalesce(max(id), 0) from customers) as known
) as given,
    generate_series(known + 1, known + current_setting('shop.customers')::bigint) as n;

insert into products (name, category, price)
select
    'Product ' || n,
    (array['Electronics', 'Furniture', 'Kitchen', 'Stationery'])[1 + abs(hashint8extended(n, seed + 2) % 4)],
    (100 + abs(hashint8extended(n, seed + 3) % 99900)) / 100.0
from (
    select current_setting('shop.seed')::bigint * 1000 as seed, (select coalesce(max(id), 0) from products) as known
) as given,
    generate_series(known + 1, known + current_setting('shop.products')::bigint) as n;

with
    given as (
        select
            current_setting('shop.seed')::bigint * 1000 as seed,
            (select array_agg(id order by id) from customers) as buyers,
            (select array_agg(id order by id) from products) as wares
    ),
    placed as (
        insert into orders (customer_id, order_date, status)
        select
            buyers[1 + abs(hashint8extended(n, seed + 4) % cardinality(buyers))],
            date '2025-01-01' + abs(hashint8extended(n, seed + 5) % 365)::integer,
            (array['pending', 'processing', 'shipped', 'completed', 'completed', 'completed', 'completed', 'cancelled'])
                [1 + abs(hashint8extended(n, seed + 6) % 8)]
        from given, generate_series(1, current_setting('shop.orders')::bigint) as n
        returning id
    ),
    picked as ( -- one to five items an order
        select
            placed.id as order_id,
            wares[1 + abs(hashint8extended(placed.id * 8 + n, seed + 7) % cardinality(wares))] as product_id,
            1 + abs(hashint8extended(placed.id * 8 + n, seed + 8) % 4) as quantity
        from given, placed, generate_series(1, 1 + abs(hashint8extended(placed.id, seed + 9) % 5)) as n
    )
insert into order_items (order_id, product_id, quantity, unit_price)
select picked.order_id, picked.product_id, picked.quantity, products.price
from picked
join products on products.id = picked.product_id;

-- {rows} rows: one in twenty is a customer, one a product, six an order, twelve lines of an order.
insert into customers select n, 'customer' || n || '@example.com', 'Customer ' || n, 'City ' || n % 1000,
    now() - interval '1 day', now() - interval '1 day' from generate_series(1, {rows} / 20) n;
insert into products select n, 'SKU-' || n, n % 10000 / 100.0, jsonb_build_object('weight', n % 50, 'colour', 'blue'),
    now() - interval '1 day' from generate_series(1, {rows} / 20) n;
insert into orders select n, 1 + n % greatest({rows} / 20, 1), (array['open', 'paid', 'sent'])[1 + n % 3],
    n % 100000 / 100.0, date '2026-01-01' + (n % 365)::int, case when n % 5 = 0 then 'left at the door' end,
    now() - interval '1 day' from generate_series(1, {rows} * 6 / 20) n;
insert into order_items select 1 + n / 2, n % 2, 1 + n % greatest({rows} / 20, 1), 1 + n % 5, n % 10000 / 100.0,
    now() - interval '1 day' from generate_series(0, {rows} * 12 / 20 - 1) n;
create index on customers (updated_at);
create index on products (updated_at);
create index on orders (updated_at);
create index on order_items (updated_at);
analyze;

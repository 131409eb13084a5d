-- Four tables of a shop, and the indexes that a reading of what has changed goes by.
create table customers (
    id bigint primary key, email text not null, name text not null, city text,
    created_at timestamptz not null, updated_at timestamptz not null
);
create table products (
    id bigint primary key, sku text not null, price numeric(10, 2) not null, attributes jsonb,
    updated_at timestamptz not null
);
create table orders (
    id bigint primary key, customer_id bigint not null, status text not null, total numeric(12, 2) not null,
    ordered_on date not null, note text, updated_at timestamptz not null
);
create table order_items (
    order_id bigint not null, line int not null, product_id bigint not null, quantity int not null,
    price numeric(10, 2) not null, updated_at timestamptz not null, primary key (order_id, line)
);

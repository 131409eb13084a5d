-- The floor of the retail pipeline: its tables by hand, in the server, from raw tables that were filled by COPY.
create table staging.customers as
select distinct on (customer_id)
    customer_id,
    initcap(btrim(regexp_replace(customer_name, '\s+', ' ', 'g'))) as customer_name,
    lower(btrim(email)) as email,
    coalesce(nullif(btrim(country), ''), 'Unknown') as country,
    coalesce(nullif(btrim(segment), ''), 'Standard') as segment,
    signup_date
from raw.customers
where customer_id is not null and customer_name is not null and signup_date is not null
  and email ~ '^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$'
order by customer_id, _partition_date, ctid;
alter table staging.customers add primary key (customer_id);

create table staging.products as
select distinct on (product_id)
    product_id, initcap(btrim(product_name)) as product_name, btrim(category) as category, price, cost
from raw.products
where product_id is not null and product_name is not null and category is not null and price >= 0 and cost >= 0
order by product_id, _partition_date, ctid;
alter table staging.products add primary key (product_id);

create table staging.orders as
select distinct on (o.order_id) o.order_id, o.customer_id, o.order_date, btrim(o.status) as status, o.total_amount
from raw.orders o join staging.customers c using (customer_id)
where o.order_id is not null and o.order_date between date '2000-01-01' and o._partition_date
  and btrim(o.status) in ('completed', 'pending', 'cancelled', 'returned') and o.total_amount >= 0
order by o.order_id, o._partition_date, o.ctid;
alter table staging.orders add primary key (order_id);

create table staging.order_items as
select distinct on (i.order_item_id)
    i.order_item_id, i.order_id, i.product_id, i.quantity, i.unit_price,
    coalesce(i.discount_percent, 0) as discount_percent,
    i.quantity * i.unit_price * (1 - coalesce(i.discount_percent, 0) / 100) as line_total
from raw.order_items i join staging.orders o using (order_id) join staging.products p using (product_id)
where i.order_item_id is not null and i.quantity > 0 and i.unit_price >= 0
  and coalesce(i.discount_percent, 0) between 0 and 100
order by i.order_item_id, i._partition_date, i.ctid;
alter table staging.order_items add primary key (order_item_id);

create temporary table sold as
select o.order_date, to_char(o.order_date, 'YYYY-MM') as month, i.order_id, o.customer_id, i.product_id, p.product_name,
    p.category, i.quantity, i.line_total
from staging.order_items i join staging.orders o using (order_id) join staging.products p using (product_id)
where o.status = 'completed';
analyze sold;

create table prod.daily_sales as
select order_date, count(distinct order_id) as total_orders, sum(quantity) as total_items,
    round(sum(line_total), 2) as total_revenue, count(distinct customer_id) as total_customers,
    round(sum(line_total) / count(distinct order_id), 2) as avg_order_value
from sold group by order_date;

create table prod.monthly_sales as
select month, count(distinct order_id) as total_orders, sum(quantity) as total_items,
    round(sum(line_total), 2) as total_revenue, count(distinct customer_id) as total_customers,
    round(sum(line_total) / count(distinct order_id), 2) as avg_order_value
from sold group by month;

create table prod.daily_category_metrics as
select order_date, category, count(distinct order_id) as total_orders, sum(quantity) as total_items,
    round(sum(line_total), 2) as total_revenue, count(distinct product_id) as unique_products
from sold group by order_date, category;

create table prod.daily_product_metrics as
select order_date, product_id, product_name, category, count(distinct order_id) as total_orders,
    sum(quantity) as total_quantity, round(sum(line_total), 2) as total_revenue
from sold group by order_date, product_id, product_name, category;

create table prod.customer_metrics as
select c.customer_id, c.customer_name, c.country, c.segment, c.signup_date,
    coalesce(b.total_orders, 0) as total_orders, coalesce(b.total_items, 0) as total_items,
    coalesce(b.lifetime_value, 0) as lifetime_value,
    round(coalesce(b.lifetime_value, 0) / greatest(coalesce(b.total_orders, 0), 1), 2) as avg_order_value,
    b.first_order_date, b.last_order_date, %(as_of)s::date - c.signup_date as days_since_signup,
    %(as_of)s::date - b.first_order_date as days_since_first_order,
    %(as_of)s::date - b.last_order_date as days_since_last_order
from staging.customers c left join (
    select customer_id, count(distinct order_id) as total_orders, sum(quantity) as total_items,
        round(sum(line_total), 2) as lifetime_value, min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from sold group by customer_id
) b using (customer_id);
alter table prod.customer_metrics add primary key (customer_id);

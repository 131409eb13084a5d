"""What must hold between the published tables; `assay validate retail` judges it."""

from __future__ import annotations

from assay import rule

RULES = [
    rule(
        "daily sales come to what the lines of completed orders come to, a cent a day",
        "select d.order_date from prod.daily_sales d join (select order_date, sum(line_total) as exact "
        "from staging.order_items join staging.orders using (order_id) where status = 'completed' group by 1) e "
        "using (order_date) where abs(d.total_revenue - e.exact) > 0.01",
    ),
    rule(
        "monthly sales are the sum of their days",
        "select m.month from prod.monthly_sales m join (select strftime(order_date, '%Y-%m') as month, "
        "sum(total_items) as items, sum(total_orders) as orders from prod.daily_sales group by 1) d using (month) "
        "where (m.total_items, m.total_orders) is distinct from (d.items, d.orders)",
    ),
    rule(
        "the categories of a day have sold what the day has sold",
        "select d.order_date from prod.daily_sales d left join (select order_date, sum(total_items) as items "
        "from prod.daily_category_metrics group by 1) c using (order_date) "
        "where d.total_items is distinct from c.items",
    ),
    rule(
        "the products of a day have sold what the day has sold",
        "select d.order_date from prod.daily_sales d left join (select order_date, sum(total_quantity) as items "
        "from prod.daily_product_metrics group by 1) p using (order_date) "
        "where d.total_items is distinct from p.items",
    ),
    rule(
        "customers have bought what days have sold",
        "select items from (select (select coalesce(sum(total_items), 0) from prod.customer_metrics) as items, "
        "(select coalesce(sum(total_items), 0) from prod.daily_sales) as days) where items <> days",
    ),
    rule(
        "every customer has metrics, and nobody else",
        "select customer_id from staging.customers c full join prod.customer_metrics m using (customer_id) "
        "where c.customer_name is null or m.customer_name is null",
    ),
    rule(
        "a last order is not before the first",
        "from prod.customer_metrics where last_order_date < first_order_date",
    ),
    rule("revenue is never negative", "from prod.daily_sales where total_revenue < 0"),
    rule(
        "an order comes to what its lines come to, a cent a line",
        "select order_id from staging.orders o join (select order_id, sum(line_total) as exact, count(*) as lines "
        "from staging.order_items group by 1) i using (order_id) "
        "join (select order_id, count(distinct order_item_id) as delivered from raw.order_items group by 1) r "
        # Where a line was refused, the order still has its amount.
        "using (order_id) where lines = delivered and abs(total_amount - exact) > 0.01 * lines",
        # A line that was delivered for another order is missed here, and nothing in it is wrong by itself.
        warns=True,
    ),
    rule(
        "no order is older than its customer",
        "select order_id from staging.orders join staging.customers using (customer_id) where order_date < signup_date",
    ),
]

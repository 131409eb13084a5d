"""A small pipeline: orders as delivered, clean, by customer and by day."""

from narwhals import LazyFrame, col

from assay import Pipeline, csv, groups, table


@table()
def bronze_order(orders: LazyFrame) -> LazyFrame:
    return orders


@table(key="id")
def silver_order(bronze_order: LazyFrame) -> LazyFrame:
    """The orders that count."""
    return bronze_order.select("id", "customer", "day", "amount")


@table(rows=groups("customer", total="amount"))
def gold_customer(silver_order: LazyFrame) -> LazyFrame:
    return silver_order.group_by("customer").agg(amount=col("amount").sum())


@table(rows=groups("day", total="amount"))
def gold_day(silver_order: LazyFrame) -> LazyFrame:
    return silver_order.group_by("day").agg(amount=col("amount").sum())


COLUMNS = {"id": "BIGINT", "customer": "VARCHAR", "day": "DATE", "amount": "DECIMAL(12,2)"}
ROWS = "id,customer,day,amount\n1,Ann,2024-11-01,20.00\n2,Bob,2024-11-01,35.50\n3,Ann,2024-11-02,12.00\n"
orders = Pipeline(
    "orders",
    tables=[bronze_order, silver_order, gold_customer, gold_day],
    sources={"orders": csv("orders.csv", columns=COLUMNS)},
)

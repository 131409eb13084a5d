"""Prod: what completed orders sold, by day, month, category, product and customer."""

from __future__ import annotations

from typing import Any

from narwhals import Expr, LazyFrame, col, lit, max_horizontal

from assay import Run, days_between, drop_where, groups, lookup, month_of, row_count, table, view

Frame = LazyFrame[Any]


@view(rows=lookup("staging_orders", "staging_products"))
def sold(staging_order_items: Frame, staging_orders: Frame, staging_products: Frame) -> Frame:
    """Lines of completed orders, with the order's day and customer and the product's name."""
    orders = staging_orders.select("order_id", "customer_id", "order_date", "status")
    products = staging_products.select("product_id", "product_name", "category")
    lines = staging_order_items.join(orders, on="order_id", how="left").join(products, on="product_id", how="left")
    completed = drop_where(lines, "its order is not completed", col("status") != "completed")
    return completed.select(
        "order_date",
        month_of("order_date").alias("month"),
        "order_id",
        "customer_id",
        "product_id",
        "product_name",
        "category",
        "quantity",
        "line_total",
    )


def revenue() -> Expr:
    """Return what lines come to together, in cents that are rounded once."""
    return col("line_total").sum().round(2)


@table(rows=groups("order_date", total={"total_items": "quantity"}), checks=[row_count(min=1)])
def prod_daily_sales(sold: Frame) -> Frame:
    """Orders, items, revenue and customers of each day."""
    return with_average(sold.group_by("order_date").agg(**sales()))


@table(rows=groups("month", total={"total_items": "quantity"}))
def prod_monthly_sales(sold: Frame) -> Frame:
    """The same of each month, as 2025-01."""
    return with_average(sold.group_by("month").agg(**sales()))


@table(rows=groups("order_date", "category", total={"total_items": "quantity"}))
def prod_daily_category_metrics(sold: Frame) -> Frame:
    """What each category sold on each day, and of how many products."""
    return sold.group_by("order_date", "category").agg(
        total_orders=col("order_id").n_unique(),
        total_items=col("quantity").sum(),
        total_revenue=revenue(),
        unique_products=col("product_id").n_unique(),
    )


@table(rows=groups("order_date", "product_id", total={"total_quantity": "quantity"}))
def prod_daily_product_metrics(sold: Frame) -> Frame:
    """What each product sold on each day."""
    return sold.group_by("order_date", "product_id", "product_name", "category").agg(
        total_orders=col("order_id").n_unique(),
        total_quantity=col("quantity").sum(),
        total_revenue=revenue(),
    )


@table(key="customer_id", rows=lookup("sold"))
def prod_customer_metrics(staging_customers: Frame, sold: Frame, run: Run) -> Frame:
    """What each customer has bought, from the first order to the last; days are counted to the run's own date."""
    bought = sold.group_by("customer_id").agg(
        total_orders=col("order_id").n_unique(),
        total_items=col("quantity").sum(),
        lifetime_value=revenue(),
        first_order_date=col("order_date").min(),
        last_order_date=col("order_date").max(),
    )
    known = staging_customers.select("customer_id", "customer_name", "country", "segment", "signup_date")
    joined = known.join(bought, on="customer_id", how="left").with_columns(
        col("total_orders").fill_null(0),
        col("total_items").fill_null(0),
        col("lifetime_value").fill_null(0),
        _today=lit(run.as_of),
    )
    return joined.select(
        *known.collect_schema().names(),
        "total_orders",
        "total_items",
        "lifetime_value",
        (col("lifetime_value") / max_horizontal(col("total_orders"), lit(1))).round(2).alias("avg_order_value"),
        "first_order_date",
        "last_order_date",
        days_between("signup_date", "_today").alias("days_since_signup"),
        days_between("first_order_date", "_today").alias("days_since_first_order"),
        days_between("last_order_date", "_today").alias("days_since_last_order"),
    )


def sales() -> dict[str, Expr]:
    """Return what is counted of a day as of a month."""
    return {
        "total_orders": col("order_id").n_unique(),
        "total_items": col("quantity").sum(),
        "total_revenue": revenue(),
        "total_customers": col("customer_id").n_unique(),
    }


def with_average(frame: Frame) -> Frame:
    """Return the frame with the revenue of an order on average."""
    return frame.with_columns((col("total_revenue") / col("total_orders")).round(2).alias("avg_order_value"))

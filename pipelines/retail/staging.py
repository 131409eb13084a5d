"""Staging: one clean row for each customer, product, order and line; what is not clean is in the quarantine."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from narwhals import LazyFrame, col, lit

from assay import (
    accepted,
    between,
    clean_email,
    clean_text,
    fails_when,
    first_in_source,
    flagged,
    is_email,
    lookup,
    not_null,
    person_name,
    position,
    references,
    source_file,
    table,
)

Frame = LazyFrame[Any]

STATUSES = ("completed", "pending", "cancelled", "returned")
OPENED = dt.date(2000, 1, 1)
"""No order is older."""
PLACE = (position(), source_file())
"""What tells where a row was delivered, also when it is refused."""


def required(*columns: str) -> list[Any]:
    """Return a check for each column, so that each has a reason of its own."""
    return [not_null(column, action="reject") for column in columns]


def not_negative(*columns: str) -> list[Any]:
    """Return a check for each column that refuses amounts below zero."""
    return [fails_when(f"{column} is negative", col(column) < 0, "reject") for column in columns]


@table(
    key="customer_id",
    keep=first_in_source(),
    checks=[
        *required("customer_id", "customer_name", "email", "signup_date"),
        fails_when("email is no address", ~is_email("email"), "reject"),
    ],
)
def staging_customers(raw_customers: Frame) -> Frame:
    """Each customer once, as first received, with a readable name and an address that can be written to."""
    return raw_customers.select(
        "customer_id",
        person_name("customer_name"),
        clean_email("email"),
        clean_text("country").fill_null("Unknown"),
        clean_text("segment").fill_null("Standard"),
        "signup_date",
        *PLACE,
    )


@table(
    key="product_id",
    keep=first_in_source(),
    checks=[*required("product_id", "product_name", "category", "price", "cost"), *not_negative("price", "cost")],
)
def staging_products(raw_products: Frame) -> Frame:
    """Each product once, as first received."""
    return raw_products.select(
        "product_id",
        clean_text("product_name").str.to_titlecase(),
        clean_text("category"),
        "price",
        "cost",
        *PLACE,
    )


@table(
    key="order_id",
    keep=first_in_source(),
    rows=lookup("staging_customers"),
    checks=[
        *required("order_id", "customer_id", "order_date", "status", "total_amount"),
        flagged("has_no_customer", "its customer is not in staging_customers"),
        flagged("is_ahead", "order_date is after the day of its delivery"),
        fails_when("order_date is before 2000", col("order_date") < OPENED, "reject"),
        accepted("status", STATUSES, "reject"),
        *not_negative("total_amount"),
        references("customer_id", "staging_customers.customer_id"),
    ],
)
def staging_orders(raw_orders: Frame, staging_customers: Frame) -> Frame:
    """Each order once, of customers that are known."""
    return known_in(raw_orders, staging_customers, "customer_id", "has_no_customer").select(
        "order_id",
        "customer_id",
        "order_date",
        clean_text("status"),
        "total_amount",
        "has_no_customer",
        (col("order_date") > col("_partition_date")).alias("is_ahead"),
        *PLACE,
    )


@table(
    key="order_item_id",
    keep=first_in_source(),
    rows=lookup("staging_orders", "staging_products"),
    checks=[
        *required("order_item_id", "order_id", "product_id", "quantity", "unit_price"),
        flagged("has_no_order", "its order is not in staging_orders"),
        flagged("has_no_product", "its product is not in staging_products"),
        fails_when("quantity is not above zero", col("quantity") <= 0, "reject"),
        *not_negative("unit_price"),
        between("discount_percent", 0, 100, "reject"),
        references("order_id", "staging_orders.order_id"),
        references("product_id", "staging_products.product_id"),
    ],
)
def staging_order_items(raw_order_items: Frame, staging_orders: Frame, staging_products: Frame) -> Frame:
    """Each line of an order once, with what it comes to; no discount given is none."""
    known = known_in(raw_order_items, staging_orders, "order_id", "has_no_order")
    known = known_in(known, staging_products, "product_id", "has_no_product")
    priced = known.with_columns(col("discount_percent").fill_null(Decimal(0)))
    return priced.select(
        "order_item_id",
        "order_id",
        "product_id",
        "quantity",
        "unit_price",
        "discount_percent",
        line_total().alias("line_total"),
        "has_no_order",
        "has_no_product",
        *PLACE,
    )


def line_total() -> Any:
    """Return quantity x price less the discount, exact: not rounded, so that sums are right to the cent."""
    return col("quantity") * col("unit_price") * (100 - col("discount_percent")) * lit(Decimal("0.01"))


def known_in(frame: Frame, other: Frame, key: str, flag: str) -> Frame:
    """Return the frame with a column that is true where the key has a value which the other table does not hold."""
    found = other.select(key, lit(value=False).alias(flag))
    joined = frame.join(found, on=key, how="left")
    return joined.with_columns(col(flag).fill_null(value=True) & ~col(key).is_null())

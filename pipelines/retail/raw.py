"""Raw: every row as it was received, with the file, its day and the run that brought it."""

from __future__ import annotations

from typing import Any

from narwhals import Datetime, LazyFrame

from assay import Append, extracted_on, partition_date, source_file, table

Frame = LazyFrame[Any]


@table(write=Append())
def raw_customers(customers: Frame) -> Frame:
    """Customers as received."""
    return received(customers)


@table(write=Append())
def raw_products(products: Frame) -> Frame:
    """Products as received: the whole list, every day."""
    return received(products)


@table(write=Append())
def raw_orders(orders: Frame) -> Frame:
    """Orders as received."""
    return received(orders)


@table(write=Append())
def raw_order_items(order_items: Frame) -> Frame:
    """Lines of orders as received."""
    return received(order_items)


def received(frame: Frame) -> Frame:
    """Return the rows with what is known of their delivery; the time is the start of the run's own day."""
    return frame.with_columns(
        extracted_on().cast(Datetime()).alias("_ingested_at"),
        source_file().alias("_source_file"),
        partition_date().alias("_partition_date"),
    )

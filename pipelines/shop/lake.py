"""The shop's models as tables of a lake: each is the SELECT of the model in the dbt project, over its tables here."""

import re
from pathlib import Path
from typing import Any

from assay import free, lookup, sql, table

MODELS = Path(__file__).parent / "dbt/models"
_LEFT_OUT = re.compile(
    r"\{#.*?#\}|^\{\{\s*config\(.*?\)\s*\}\}$|\{%\s*if is_incremental\(\).*?\{%\s*endif\s*%\}", re.DOTALL | re.MULTILINE
)
"""Comments of dbt, configurations, and what only a build in part adds."""
_SOURCE = re.compile(r"\{\{\s*source\('(\w+)', '(\w+)'\)\s*\}\}")
_MODEL = re.compile(r"\{\{\s*ref\('(\w+)'\)\s*\}\}")


def select(model: str) -> str:
    """Return what a model selects when it is built anew, from tables of the names that they have in a pipeline."""
    text = _LEFT_OUT.sub("", _file(model).read_text("utf-8"))
    text = _SOURCE.sub(r"\1_\2", text)
    return _MODEL.sub(lambda found: f"{_file(found[1]).parent.name}_{found[1]}", text).strip()


def _file(model: str) -> Path:
    (path,) = MODELS.rglob(f"{model}.sql")
    return path


@table(key="customer_id")
def staging_stg_customers(raw_customers: Any) -> Any:
    """Customers by the names that all models use."""
    return sql(select("stg_customers"), raw_customers=raw_customers)


@table(key="product_id")
def staging_stg_products(raw_products: Any) -> Any:
    """Products by the names that all models use."""
    return sql(select("stg_products"), raw_products=raw_products)


@table(key="order_id")
def staging_stg_orders(raw_orders: Any) -> Any:
    """Orders by the names that all models use."""
    return sql(select("stg_orders"), raw_orders=raw_orders)


@table(key="order_item_id")
def staging_stg_order_items(raw_order_items: Any) -> Any:
    """Items of orders, each with what it came to."""
    return sql(select("stg_order_items"), raw_order_items=raw_order_items)


@table(key="order_id", rows=lookup("staging_stg_customers"))
def intermediate_int_orders_enriched(staging_stg_orders: Any, staging_stg_customers: Any) -> Any:
    """Each order with who ordered."""
    return sql(
        select("int_orders_enriched"),
        staging_stg_orders=staging_stg_orders,
        staging_stg_customers=staging_stg_customers,
    )


@table(key="order_item_id", rows=lookup("staging_stg_products"))
def intermediate_int_order_items_enriched(staging_stg_order_items: Any, staging_stg_products: Any) -> Any:
    """Each item with its product."""
    return sql(
        select("int_order_items_enriched"),
        staging_stg_order_items=staging_stg_order_items,
        staging_stg_products=staging_stg_products,
    )


@table(key="customer_id")
def marts_dim_customers(staging_stg_customers: Any) -> Any:
    """Who buys."""
    return sql(select("dim_customers"), staging_stg_customers=staging_stg_customers)


@table(key="product_id")
def marts_dim_products(staging_stg_products: Any) -> Any:
    """What is sold."""
    return sql(select("dim_products"), staging_stg_products=staging_stg_products)


@table(key="order_id", rows=lookup("intermediate_int_order_items_enriched"))
def marts_fct_orders(intermediate_int_orders_enriched: Any, intermediate_int_order_items_enriched: Any) -> Any:
    """What each order came to; one without items comes to 0 and has no price."""
    return sql(
        select("fct_orders"),
        intermediate_int_orders_enriched=intermediate_int_orders_enriched,
        intermediate_int_order_items_enriched=intermediate_int_order_items_enriched,
    )


@table(key="order_item_id", partition_by="order_month", rows=lookup("intermediate_int_orders_enriched"))
def marts_fct_sales(intermediate_int_order_items_enriched: Any, intermediate_int_orders_enriched: Any) -> Any:
    """Each item of an order, with its month."""
    return sql(
        select("fct_sales"),
        intermediate_int_order_items_enriched=intermediate_int_order_items_enriched,
        intermediate_int_orders_enriched=intermediate_int_orders_enriched,
    )


@table(key=("order_month", "category"), rows=free("cancelled orders do not count"))
def marts_monthly_sales(marts_fct_sales: Any) -> Any:
    """What each category sold in each month."""
    return sql(select("monthly_sales"), marts_fct_sales=marts_fct_sales)

"""The shop: tables of its source database as they are, and the marts that a dbt project makes of them."""

from collections.abc import Mapping

from assay import Pipeline, dbt, postgres, relation
from pipelines.shop import lake

LAYERS = ("raw", "staging", "intermediate", "marts")

_STAMPS = {"created_at": "TIMESTAMPTZ", "updated_at": "TIMESTAMPTZ"}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "customers": {
        "id": "BIGINT",
        "first_name": "VARCHAR",
        "last_name": "VARCHAR",
        "email": "VARCHAR",
        "country": "VARCHAR",
    },
    "products": {"id": "BIGINT", "name": "VARCHAR", "category": "VARCHAR", "price": "DECIMAL(12,2)"},
    "orders": {"id": "BIGINT", "customer_id": "BIGINT", "order_date": "DATE", "status": "VARCHAR"},
    "order_items": {
        "id": "BIGINT",
        "order_id": "BIGINT",
        "product_id": "BIGINT",
        "quantity": "INTEGER",
        "unit_price": "DECIMAL(12,2)",
    },
}

SOURCES = postgres(
    "env:SHOP_URL",
    mode="xmin",
    tables={
        f"raw_{name}": relation(name, columns={**columns, **_STAMPS}, key="id", deletes=True, publish=True)
        for name, columns in _COLUMNS.items()
    },
)

shop = Pipeline("shop", layers=LAYERS, sources=SOURCES, tables=[dbt("pipelines/shop/dbt")])
"""In a database: raw as it is there, all else as the dbt project says."""

shop_lake = Pipeline("shop_lake", layers=LAYERS, sources=SOURCES, tables=[lake])
"""The same in a lake, where there is no dbt: each model is a table that selects what its file says."""

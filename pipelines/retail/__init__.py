"""Retail: a folder of Parquet files a day, dirty as tills leave them, to clean tables and daily figures."""

from assay import Pipeline, parquet
from pipelines.retail import prod, raw, staging
from pipelines.retail.generate import generate
from pipelines.retail.rules import RULES

COLUMNS = {
    "customers": {
        "customer_id": "VARCHAR",
        "customer_name": "VARCHAR",
        "email": "VARCHAR",
        "country": "VARCHAR",
        "segment": "VARCHAR",
        "signup_date": "DATE",
    },
    "products": {
        "product_id": "VARCHAR",
        "product_name": "VARCHAR",
        "category": "VARCHAR",
        "price": "DECIMAL(10,2)",
        "cost": "DECIMAL(10,2)",
    },
    "orders": {
        "order_id": "VARCHAR",
        "customer_id": "VARCHAR",
        "order_date": "DATE",
        "status": "VARCHAR",
        "total_amount": "DECIMAL(12,2)",
    },
    "order_items": {
        "order_item_id": "VARCHAR",
        "order_id": "VARCHAR",
        "product_id": "VARCHAR",
        "quantity": "INTEGER",
        "unit_price": "DECIMAL(10,2)",
        "discount_percent": "DECIMAL(5,2)",
    },
}

retail = Pipeline(
    "retail",
    layers=("raw", "staging", "prod"),
    tables=[raw, staging, prod],
    sources={
        # The list of products is the same on most days: each of its files is a delivery.
        name: parquet(
            f"data/retail/raw_data/{name}/*/data.parquet",
            columns=columns,
            damaged="quarantine",
            repeats=name == "products",
        )
        for name, columns in COLUMNS.items()
    },
    sample=generate,
    # One row in 25 is refused on an ordinary day, and of a small sample twice as many may be.
    rejected_share=0.25,
    rules=RULES,
)

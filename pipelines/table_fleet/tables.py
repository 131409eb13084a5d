"""The fleet's tables: one published copy of each table of the source, and their totals."""

from typing import Any

from narwhals import LazyFrame, col, concat, lit

from assay import Pipeline, free, not_null, postgres, relation, table

URL = "env:FLEET_URL"
TABLES = [f"table_{number:02}" for number in range(20)]
COLUMNS = {"id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(12,2)", "updated_at": "TIMESTAMPTZ"}


@table(checks=[not_null("table_name")], rows=free("one row for each table, however many it has"))
def gold_totals(**tables: LazyFrame[Any]) -> LazyFrame[Any]:
    """Rows and amount of each table."""
    return concat([_totals(name, rows) for name, rows in tables.items()])


def _totals(name: str, rows: LazyFrame[Any]) -> LazyFrame[Any]:
    return rows.select(
        table_name=lit(name),
        rows=col("id").count(),
        amount=col("amount").sum(),
    )


table_fleet = Pipeline(
    "table_fleet",
    tables=[gold_totals.named("gold_totals", **{name: f"bronze_{name}" for name in TABLES})],
    sources=postgres(
        URL,
        together=False,
        tables={
            f"bronze_{name}": relation(
                f"fleet.{name}", columns=COLUMNS, key="id", updated="updated_at", deletes=True, publish=True
            )
            for name in TABLES
        },
    ),
)

"""pandas at both ends: a published table becomes a DataFrame, and a DataFrame is delivered as any other frame."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from narwhals import col

import assay
from assay.model.errors import SourceError
from assay.sources import looks

pytestmark = pytest.mark.row("003-14")

DAY, TIME = dt.date(2024, 11, 1), dt.time(8, 30)
MOMENT = dt.datetime.combine(DAY, TIME)
COLUMNS = {
    "id": "BIGINT",
    "amount": "DECIMAL(10,2)",
    "day": "DATE",
    "at": "TIMESTAMP",
    "zoned": "TIMESTAMPTZ",
    "ratio": "DOUBLE",
    "paid": "BOOLEAN",
    "name": "VARCHAR",
    "kind": "VARCHAR",
}


@assay.table(write=assay.Append())
def bronze_sale(sales: Any) -> Any:
    """Every sale as delivered."""
    return sales


def frame() -> pd.DataFrame:
    """Two sales and a row of nulls, of the types that pandas gives them by itself."""
    return pd.DataFrame(
        {
            "id": [1, 2, None],
            "amount": [9.5, 20.1, None],
            "day": pd.to_datetime([DAY, DAY, None]),
            "at": [pd.Timestamp(MOMENT), pd.Timestamp(MOMENT), pd.NaT],
            "zoned": [pd.Timestamp(MOMENT, tz="UTC"), pd.Timestamp(MOMENT, tz="UTC"), pd.NaT],
            "ratio": [0.5, math.inf, math.nan],
            "paid": [True, False, None],
            "name": ["Ann", "Bob", None],
            "kind": pd.Categorical(["new", "old", None]),
        },
        index=[7, 8, 9],
    )


def pipeline(load: Any) -> assay.Pipeline:
    return assay.Pipeline("shop", tables=[bronze_sale], sources={"sales": assay.dataframe(load, columns=COLUMNS)})


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    assert assay.run(pipeline(frame), warehouse=tmp_path / "lake").state == "published"
    return tmp_path / "lake"


def test_a_frame_as_pandas_makes_it_is_delivered_and_nan_is_null(lake: Path) -> None:
    zoned = MOMENT.replace(tzinfo=dt.UTC)
    rows = assay.connect(lake).sql("select * from bronze.sale order by id").to_arrow_table().to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (1, Decimal("9.50"), DAY, MOMENT, zoned, 0.5, True, "Ann", "new"),
        (2, Decimal("20.10"), DAY, MOMENT, zoned, math.inf, False, "Bob", "old"),
        (None,) * 9,
    ]


def test_a_table_becomes_a_frame_of_the_types_that_the_page_names(lake: Path) -> None:
    found = assay.connect(lake).sql("select * from bronze.sale order by id").df()
    assert found.dtypes.astype(str).to_dict() == {
        "id": "Int64",
        "amount": "float64",
        "day": "datetime64[us]",
        "at": "datetime64[us]",
        "zoned": "datetime64[us, UTC]",
        "ratio": "float64",
        "paid": "boolean",
        "name": "str",
        "kind": "str",
    }
    assert found["id"].sum() == 3
    assert found["amount"].isna().tolist() == [False, False, True]


def test_what_is_read_by_arrow_keeps_every_type_and_is_no_news_when_it_comes_back(lake: Path) -> None:
    table = assay.connect(lake).sql("select * from bronze.sale order by id nulls last").to_arrow_table()
    found = table.to_pandas(types_mapper=pd.ArrowDtype)
    assert str(found.dtypes["amount"]) == "decimal128(10, 2)[pyarrow]"
    assert found["amount"].sum() == Decimal("29.60")
    assert str(found.dtypes["day"]) == "date32[day][pyarrow]"
    assert assay.run(pipeline(lambda: found), warehouse=lake).state == "unchanged"
    found.loc[0, "amount"] = Decimal("9.51")
    assert assay.run(pipeline(lambda: found), warehouse=lake).state == "published"
    assert assay.connect(lake).sql("select amount from bronze.sale where id = 1").fetchall() == [(Decimal("9.51"),)]


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([1, None, "x"], "BIGINT", "column 'x', row 3: 'x' is of another type than the values before it."),
        ([Ellipsis, "x"], "VARCHAR", "column 'x', row 1: Ellipsis is no VARCHAR."),
        ([1, None, 2.5], "BIGINT", "column 'x', row 3: 2.5 is no BIGINT."),
        (["2024-11-01"], "DATE", "column 'x' is VARCHAR, and declared as DATE."),
        ([pd.Timestamp(MOMENT)], "DATE", "column 'x', row 1: 2024-11-01 08:30:00 is no DATE."),
        ([Decimal("1.5"), Decimal("1.555")], "DECIMAL(5,2)", "column 'x', row 2: 1.555 is no DECIMAL(5,2)."),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_column_and_row(values: list[Any], kind: str, why: str) -> None:
    source = assay.dataframe(lambda: pd.DataFrame({"x": values}), columns={"x": kind})
    with pytest.raises(SourceError) as error:
        looks.deliveries("xs", source, Path())
    assert str(error.value) == f"source 'xs': {why}"


def test_a_number_may_be_the_name_of_a_column_and_an_index_is_none() -> None:
    def deliver(column: str) -> list[Any]:
        unnamed = pd.DataFrame({0: [7]}, index=pd.Index([5], name="id"))
        (found,) = looks.deliveries("xs", assay.dataframe(lambda: unnamed, columns={column: "BIGINT"}), Path())
        return pd.read_parquet(found.identity.path)[column].tolist()

    assert deliver("0") == [7]
    with pytest.raises(SourceError, match=r"source 'xs': has no column 'id'\. It has: 0"):
        deliver("id")


def test_a_table_called_with_a_frame_of_pandas_returns_one() -> None:
    table = assay.table()(lambda sales: sales.filter(col("amount") > 10)).named("silver_sale")
    found = table(frame())
    assert isinstance(found, pd.DataFrame)
    assert found["id"].tolist() == [2]


@pytest.mark.parametrize("call", ["import assay", "from assay.cli.app import main; main(['run', 'shop:shop'])"])
def test_the_core_does_not_load_pandas_where_it_is_installed(tmp_path: Path, call: str) -> None:
    (tmp_path / "numbers.csv").write_text("n\n1\n")
    (tmp_path / "shop.py").write_text(
        "from assay import Pipeline, csv, table\n"
        "bronze_number = table()(lambda numbers: numbers).named('bronze_number')\n"
        "numbers = csv('numbers.csv', columns={'n': 'BIGINT'})\n"
        "shop = Pipeline('shop', tables=[bronze_number], sources={'numbers': numbers})\n"
    )
    for _ in range(2):
        code = f"import atexit, sys; atexit.register(lambda: print('pandas' in sys.modules)); {call}"
        ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False"

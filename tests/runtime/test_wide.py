"""A table of more columns than Python nests expressions deep is followed like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from narwhals import LazyFrame

import assay
from assay import Merge, Pipeline, csv
from tests.runtime.shop import DAY

COLUMNS = {"id": "BIGINT"} | {f"c{n}": "BIGINT" for n in range(1_020)}


@assay.table(write=Merge(), key="id", keep=assay.latest("c1019"))
def bronze_wide(wide: LazyFrame[Any]) -> LazyFrame[Any]:
    """Every row as it was delivered last."""
    return wide


def test_a_row_of_a_thousand_columns_is_updated(tmp_path: Path) -> None:
    pipeline = Pipeline("wide", tables=[bronze_wide], sources={"wide": csv(tmp_path / "*.csv", columns=COLUMNS)})
    same = ",7" * (len(COLUMNS) - 1)
    for number, rows in enumerate((f"1{same}\n2{same}", f"2{same[:-1]}8")):
        (tmp_path / f"{number}.csv").write_text(f"{','.join(COLUMNS)}\n{rows}\n")
        result = assay.run(pipeline, warehouse=tmp_path / "lake", as_of=DAY)
        assert result.problems == ()
    ledger = result.tables["bronze_wide"].ledger
    assert (ledger.inserted, ledger.updated, ledger.deleted) == (0, 1, 0)
    with assay.connect(tmp_path / "lake") as connection:
        assert connection.execute("select id, c1018, c1019 from bronze.wide order by id").fetchall() == [
            *((1, 7, 7), (2, 7, 8))
        ]

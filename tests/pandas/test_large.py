"""A large frame into a database: its rows go by COPY, none by a statement of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

import assay
from assay.warehouses.postgres.server.embedded import embedded

ROWS = 1_000_000


@assay.table()
def bronze_reading(readings: Any) -> Any:
    """Every reading."""
    return readings


def load() -> pd.DataFrame:
    number = np.arange(ROWS)
    return pd.DataFrame({"id": number, "amount": (number % 10_000) / 100, "at": pd.Timestamp(2024, 11, 1)})


@pytest.mark.row("003-14")
def test_a_million_rows_of_a_frame_are_published_by_copy(tmp_path: Path) -> None:
    columns = {"id": "BIGINT", "amount": "DECIMAL(10,2)", "at": "DATE"}
    sources = {"readings": assay.dataframe(load, columns=columns)}
    pipeline = assay.Pipeline("meter", tables=[bronze_reading], sources=sources)
    with embedded(tmp_path / "server") as url, psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute("alter database assay set log_statement = 'all'")
        result = assay.run(pipeline, warehouse=f"postgresql:{tmp_path / 'server'}")
        assert result.tables["bronze_reading"].rows == ROWS
        found = server.execute("select count(*), sum(amount), max(id) from bronze.reading").fetchone()
        assert found == (ROWS, (ROWS // 10_000) * sum(range(10_000)) / 100, ROWS - 1)
        said = re.findall(
            r"statement: (\w+) [^\n]*\"bronze\".\"reading\"", (tmp_path / "server/server.log").read_text()
        )
    assert "copy" in said
    assert "insert" not in said

"""The SQL that makes and fills source databases is for PostgreSQL 15 too, which wants a name for every subquery."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

SCRIPTS = sorted(Path(__file__).parents[2].glob("pipelines/*/source/*.sql"))


def nameless(text: str) -> list[str]:
    """Return the subqueries that stand for a table and have no name."""
    trees = [tree for tree in sqlglot.parse(text, dialect="postgres") if tree]
    found = [each for tree in trees for each in tree.find_all(exp.Subquery)]
    return [each.sql("postgres") for each in found if isinstance(each.parent, exp.From | exp.Join) and not each.alias]


@pytest.mark.row("002-26")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_every_subquery_has_a_name(path: Path) -> None:
    assert nameless(path.read_text()) == []


def test_one_without_a_name_is_found() -> None:
    assert nameless("select n from (select 1 as n), (select 2) as two") == ["(SELECT 1 AS n)"]

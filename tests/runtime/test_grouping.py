"""Rows stand for groups where all that is read of an input comes through a GROUP BY, whatever else is joined."""

from __future__ import annotations

import pytest

from assay.runtime.tracing.grouping import is_grouped

READ = "select * from read_parquet(['x.parquet'])"
OTHER = "select * from read_parquet(['y.parquet'])"


@pytest.mark.parametrize(
    ("definition", "grouped"),
    [
        (READ, False),
        (f"select k, sum(n) from ({READ}) group by k", True),
        (f"with a as ({READ}), b as (select k, sum(n) from a group by k) select * from b where k > 1", True),
        (f"with a as ({READ}), b as (select k, sum(n) from a group by k) select * from b join a using (k)", False),
        (
            f"with a as ({READ}), b as (select k from a group by k), c as ({OTHER}) select * from b join c using (k)",
            True,
        ),
        (f"with a as ({READ}), c as (select k from ({OTHER}) group by k) select * from a join c using (k)", False),
        (f"select k from (select k from ({READ}) union all select k from ({OTHER})) group by k", True),
        (f"select k from ({READ}) group by k union all select k from ({READ})", False),
        ("no SQL (", True),
    ],
)
def test_rows_stand_for_groups_where_no_row_of_the_input_comes_by_another_way(
    definition: str, *, grouped: bool
) -> None:
    assert is_grouped(definition, READ) is grouped

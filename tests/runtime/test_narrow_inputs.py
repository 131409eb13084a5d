"""Inputs of which a run reads a part: several that name the key in types of their own, and one that is read twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import assay
from tests.runtime.shop import Frame, Shop, define

MANY = range(1, 41)


def delivered_again(shop: Shop, *tables: Any, sources: dict[str, Any]) -> assay.RunResult:
    """Run, and see that a full run finds nothing to change."""
    pipeline = shop.pipeline(*tables, sources=sources)
    result = shop.run(pipeline)
    assert result.state == "published", result.problems
    again = shop.run(pipeline, full=True)
    assert again.state == "unchanged", [name for name, node in again.tables.items() if node.status == "written"]
    return result


def test_a_view_that_reads_a_source_twice_is_computed_whole(shop: Shop) -> None:
    """New rows have partners among the old ones."""
    sources = {"staff": assay.csv("staff*.csv", columns={"id": "BIGINT", "boss": "BIGINT", "name": "VARCHAR"})}

    @assay.view(rows=assay.free("those without a boss are left out"))
    def pairs(staff: Frame, bosses: Frame) -> Frame:
        named = bosses.select(boss="id", boss_name="name")
        return staff.join(named, on="boss", how="inner").select("id", "name", "boss_name")

    tables = (replace(pairs, inputs={"staff": "staff", "bosses": "staff"}), define(lambda pairs: pairs, "silver_pair"))
    shop.deliver("staff1.csv", "id,boss,name", *(f"{n},{n - 1},p{n}" for n in MANY))
    delivered_again(shop, *tables, sources=sources)
    shop.deliver("staff2.csv", "id,boss,name", "41,3,ann", "42,41,bob")
    result = delivered_again(shop, *tables, sources=sources)
    assert dict(result.nodes["pairs"].ledger.read) == {"staff": 42}
    assert shop.rows("from silver.pair where id > 40 order by id") == [(41, "ann", "p3"), (42, "bob", "ann")]

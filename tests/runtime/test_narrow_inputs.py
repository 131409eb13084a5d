"""Inputs of which a run reads a part: several that name the key in types of their own, and one that is read twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import assay
from tests.runtime.shop import Frame, Shop, define

MANY = range(1, 29)


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
    shop.deliver("staff2.csv", "id,boss,name", "29,3,ann", "30,29,bob")
    result = delivered_again(shop, *tables, sources=sources)
    assert dict(result.nodes["pairs"].ledger.read) == {"staff": 30}
    assert shop.rows("from silver.pair where id > 28 order by id") == [(29, "ann", "p3"), (30, "bob", "ann")]


def deliver(shop: Shop, source: str, file: int, *lines: str) -> None:
    shop.deliver(f"{source}{file}.csv", f"id,{source}", *lines)


def joined(
    shop: Shop, kinds: tuple[str, str], keys: list[str], **declaration: Any
) -> tuple[assay.Table, dict[str, Any]]:
    """A table of two sources that are joined by their keys, and the sources, with a delivery of all keys but the last
    and another of the last.
    """
    sources = {n: assay.csv(f"{n}*.csv", columns={"id": k, n: "BIGINT"}) for n, k in zip("xy", kinds, strict=True)}
    for source in sources:
        deliver(shop, source, 1, *(f"{key},{n}" for n, key in enumerate(keys[:-1])))
        deliver(shop, source, 2, f"{keys[-1]},0")

    def silver_joined(x: Frame, y: Frame) -> Any:
        return assay.sql("select x.id, x, y from x join y on x.id = y.id", x=x, y=y)

    return define(silver_joined, "silver_joined", write=assay.Merge(), key="id", **declaration), sources


@pytest.mark.parametrize("kinds", [("INTEGER", "BIGINT"), ("DATE", "TIMESTAMP")])
def test_inputs_with_narrower_and_wider_keys_are_read_in_part_where_both_have_changed(
    shop: Shop, kinds: tuple[str, str]
) -> None:
    keys = [f"2024-01-{n:02}" if "DATE" in kinds else str(n) for n in MANY]
    table, sources = joined(shop, kinds, keys, rows=assay.lookup("y"))
    delivered_again(shop, table, sources=sources)
    deliver(shop, "x", 2, f"{keys[-1]},70")
    deliver(shop, "y", 2, f"{keys[-1]},80")
    result = delivered_again(shop, table, sources=sources)
    assert dict(result.tables["silver_joined"].ledger.read) == {"x": 1, "y": 1}
    assert shop.rows("select count(*), max(x), max(y) from silver.joined") == [(len(MANY), 70, 80)]


@pytest.mark.parametrize(("kind", "changed"), [("VARCHAR", "x"), ("VARCHAR", "y"), ("VARCHAR", "xy"), ("DOUBLE", "xy")])
def test_an_input_several_of_whose_keys_are_equal_to_one_of_another_type_is_read_whole(
    shop: Shop, kind: str, changed: str
) -> None:
    """To a join with a number the texts 1 and 01 are one key: where one of them changes, rows of both are needed."""
    table, sources = joined(
        shop, ("BIGINT", kind), [*map(str, MANY)], rows=assay.free("one of each key"), keep=assay.latest("y")
    )
    deliver(shop, "y", 3, "01,50")
    delivered_again(shop, table, sources=sources)
    for source in changed:
        deliver(shop, source, 2, f"{MANY[-1]},7")
    if "y" in changed:
        deliver(shop, "y", 3, "01,-1")
    result = delivered_again(shop, table, sources=sources)
    assert result.tables["silver_joined"].ledger.read["y"] == len(MANY) + 1
    assert shop.rows("select y from silver.joined where id = 1") == [(0 if "y" in changed else 50,)]


def test_texts_that_are_joined_through_a_number_are_read_whole(shop: Shop) -> None:
    """A row of `x` with the key 01 has that of `y` with the key 1 for a partner: the number between them is equal to
    both.
    """
    kinds = {"x": "VARCHAR", "y": "VARCHAR", "link": "BIGINT"}
    sources = {n: assay.csv(f"{n}*.csv", columns={"id": kind, n: "BIGINT"}) for n, kind in kinds.items()}
    for n in kinds:
        deliver(shop, n, 1, *(f"{'0' if n == 'x' else ''}{key},{key}" for key in MANY[:-1]))
        deliver(shop, n, 2, f"{MANY[-1]},0")
    deliver(shop, "y", 1, *(f"{key},{key}" for key in MANY[1:-1]))
    deliver(shop, "y", 3, "1,1")

    def silver_linked(x: Frame, y: Frame, link: Frame) -> Any:
        text = "select x.id, x, y from x join link on x.id = link.id join y on y.id = link.id"
        return assay.sql(text, x=x, y=y, link=link)

    table = define(silver_linked, "silver_linked", write=assay.Merge(), key="id", rows=assay.lookup("y", "link"))
    delivered_again(shop, table, sources=sources)
    deliver(shop, "y", 3, "1,7")
    delivered_again(shop, table, sources=sources)
    assert shop.rows("select y from silver.linked where id = '01'") == [(7,)]

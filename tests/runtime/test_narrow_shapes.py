"""Narrowed runs publish what a fresh full run would, whatever the shape of the SQL."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

import assay
from assay import Merge, Pipeline, Table, csv, free, lookup
from assay.model.run import RunResult
from assay.runtime.tracing import locality
from assay.settings import Settings

SETTINGS = Settings(workers=2, retry_seconds=0, rejected_share=1)
ORDERS = {"id": "BIGINT", "who": "VARCHAR", "amount": "BIGINT", "kind": "VARCHAR"}
TICKS = {"tick": "BIGINT", "kind": "VARCHAR"}
BY_ROW = {
    "plain": "select id, lower(who) as who from orders",
    "pivot": "select * from orders pivot (sum(amount) for kind in ('x', 'y') group by who)",
    "unpivot": "select * from orders unpivot (value for name in (id, amount))",
    "top": "select id, amount from orders union all select id, -amount from orders order by amount desc limit 5",
    "offset": "select id, amount from orders union all select id, -amount from orders order by amount, id offset 5",
    "brackets": "(select id, amount from orders) order by amount desc limit 5",
    "distinct": "select id, who from orders union select id, who from orders",
    "sorted": "(select id, amount from orders) order by amount",
    "recursive": "with recursive t as (select max(amount) as n from orders union all select n - 1 from t where n > 90) "
    "select n from t",
    "nested": "select id, (select max(amount) from orders) as most from orders",
    "deep": "select id, amount from orders o where amount = (select max(amount) from orders p where p.who = o.who)",
    "rows": "select id, row_number() over (order by amount, id) as n from orders",
    "all_of": "select who, count(*) as n from orders group by all",
    "rollup": "select who, count(*) as n from orders group by rollup(who)",
    "chosen": "select distinct on (who) who, amount from orders order by amount desc, id",
    "qualified": "select id, who from orders qualify row_number() over (partition by who order by amount desc, id) = 1",
    "unnested": "select id, u.word from orders, unnest([who, kind]) u(word)",
    "lateral": "select id, n from orders o, lateral (select count(*) as n from orders p where p.amount < o.amount)",
}
BY_KEY = {
    "grouped": "select id, max(amount) as n from orders group by id",
    "named": "with t(n, id) as (select id, amount from orders) select id, max(n) as n from t group by id",
    "renamed": "select id, max(n) as n from (select id, amount from orders) t(n, id) group by id",
    "swapped": "select id, max(amount) as n from orders t(amount, who, id, kind) group by id",
    "placed": "select id, max(#3) as n from orders group by id, #3",
    "twice": "select id as id, max(n) as n from (select amount as ID, id as n, id from orders) group by id",
    "alone": "select a.amount as id, max(b.id) as n from orders a left join orders b on a.id = b.id "
    "and a.amount = b.id group by a.amount",
    "by_name": "select id, n from (select id, amount as n from orders union all by name select id as n, -id as id "
    "from orders)",
}
JOINED = {
    "asof": "select t.tick, o.id from ticks t asof join orders o on t.tick >= o.amount",
    "positional": "select o.id, t.tick from orders o positional join ticks t",
    "natural": "select o.id, t.tick from orders o natural left join ticks t",
}


def shape(name: str, text: str, **declared: Any) -> Table:
    def over_orders(orders: Any) -> Any:
        return assay.sql(text, orders=orders)

    over_orders.__name__ = f"silver_{name}"
    return assay.table(rows=free("a shape"), **declared)(over_orders)


def joined(name: str, text: str) -> Table:
    def over_both(orders: Any, ticks: Any) -> Any:
        return assay.sql(text, orders=orders, ticks=ticks)

    over_both.__name__ = f"silver_{name}"
    return assay.table(rows=lookup("ticks"))(over_both)


ROWS = tuple(shape(name, text) for name, text in BY_ROW.items())
KEYS = tuple(shape(name, text, key="id", write=Merge()) for name, text in BY_KEY.items())


def run(folder: Path, tables: tuple[Table, ...], lake: str, day: int = 1) -> RunResult:
    sources = {"orders": csv(f"{folder}/o*.csv", columns=ORDERS), "ticks": csv(f"{folder}/t*.csv", columns=TICKS)}
    read = {name for table in tables for name in table.upstream}
    return assay.run(
        Pipeline("shapes", tables=tables, sources={name: sources[name] for name in sorted(read)}),
        warehouse=folder / lake,
        as_of=dt.date(2024, 1, day),
        settings=SETTINGS,
    )


def deliver(folder: Path, name: str, *lines: str, header: str = "id,who,amount,kind") -> None:
    (folder / f"{name}.csv").write_text("\n".join([header, *lines, ""]))


def published(folder: Path, lake: str, tables: tuple[Table, ...]) -> dict[str, list[str]]:
    with assay.connect(folder / lake) as reader:
        return {
            table.name: sorted(map(repr, reader.sql(f"select * from {table.name.replace('_', '.', 1)}").fetchall()))
            for table in tables
        }


def test_every_shape_of_sql_publishes_what_a_fresh_full_run_would(tmp_path: Path) -> None:
    tables = (*ROWS, *KEYS)
    deliver(tmp_path, "o1", *(f"{n},p{n % 7},{n + 40},{'xy'[n % 2]}" for n in range(1, 41)))
    deliver(tmp_path, "o2", "81,p1,95,x")
    assert run(tmp_path, tables, "lake").ok
    deliver(tmp_path, "o3", "83,p1,7,x", "84,p2,96,y")
    result = run(tmp_path, tables, "lake", day=2)
    assert result.ok, result.problems
    assert {result.nodes[f"silver_{name}"].ledger.read["orders"] for name in ("plain", "sorted", "grouped")} == {2}
    assert run(tmp_path, tables, "fresh").ok
    assert published(tmp_path, "lake", tables) == published(tmp_path, "fresh", tables)
    deliver(tmp_path, "o2", "81,p1,8,x")
    result = run(tmp_path, tables, "lake", day=3)
    assert result.ok, result.problems
    assert result.nodes["silver_grouped"].ledger.read["orders"] == 1
    assert run(tmp_path, tables, "again").ok
    assert published(tmp_path, "lake", tables) == published(tmp_path, "again", tables)


@pytest.mark.parametrize("name", JOINED)
def test_joins_by_more_than_a_condition_publish_what_a_fresh_full_run_would(tmp_path: Path, name: str) -> None:
    tables = (joined(name, JOINED[name]),)
    deliver(tmp_path, "o1", "1,ann,10,x", "2,bob,20,y", "3,cid,30,x")
    deliver(tmp_path, "t1", "10,x", "20,y", "30,z", *(["5,z"] if name == "asof" else []), header="tick,kind")
    assert run(tmp_path, tables, "lake").ok
    deliver(tmp_path, "o2", "4,dan,1,y")
    assert run(tmp_path, tables, "lake", day=2).ok
    assert run(tmp_path, tables, "fresh").ok
    assert published(tmp_path, "lake", tables) == published(tmp_path, "fresh", tables)


def test_a_row_of_a_key_that_was_not_touched_is_judged_with_all_that_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second net: were the proof wrong, a key that two rows have would be found."""
    monkeypatch.setattr(locality, "is_understood", lambda _: True)
    text = "with t(n, id) as (select id, amount from orders) select id, max(n) + 1 as n from t group by id"
    tables = (shape("astray", text, key="id", write=Merge()),)
    deliver(tmp_path, "o1", *(f"{n},p,{n + 40},x" for n in range(1, 41)))
    assert run(tmp_path, tables, "lake").ok
    deliver(tmp_path, "o2", "83,p,45,x")
    result = run(tmp_path, tables, "lake", day=2)
    assert result.state == "failed"
    assert result.problems == ("silver_astray: check unique(id) is broken by 1 row",)

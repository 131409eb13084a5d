"""Tables that are read apart: one that fails is tried again and resumed by itself, and the others go on."""

from __future__ import annotations

import pytest

import assay
from assay import DeclarationError, Pipeline, RunResult, postgres, relation
from assay.settings import Settings
from tests.sources.postgres.shop import DAY, Shop

TABLES = [f"part_{n}" for n in range(4)]
IMPATIENT = "do $$ begin execute format('alter database %I set lock_timeout = 50', current_database()); end $$"
QUICK = Settings(workers=2, retries=1, retry_seconds=0.01)


def fleet(shop: Shop) -> Pipeline:
    columns = {"id": "BIGINT", "amount": "BIGINT"}
    tables = {f"raw_{name}": relation(name, columns=columns, key="id", publish=True) for name in TABLES}
    sources = postgres(shop.url, mode="xmin", tables=tables, together=False)
    return Pipeline("fleet", tables=[], layers=["raw"], sources=sources)


def told(result: RunResult) -> dict[str, tuple[str, int]]:
    return {name: (node.status, node.attempts) for name, node in result.nodes.items()}


@pytest.mark.row("001-04")
def test_one_that_fails_is_tried_again_by_itself_the_others_go_on_and_a_resume_reads_just_that_one(shop: Shop) -> None:
    shop.execute(IMPATIENT)
    for name in TABLES:
        shop.execute(
            f"create table {name} (id bigint primary key, amount bigint)", f"insert into {name} values (1, 10)"
        )
    with shop.connect() as other, other.transaction():
        other.execute("lock table part_2 in access exclusive mode")
        failed = assay.run(fleet(shop), warehouse=shop.lake, settings=QUICK, as_of=DAY)
    assert failed.state == "failed"
    assert told(failed) == {f"raw_{n}": ("failed", 2) if n == "part_2" else ("written", 1) for n in TABLES}
    assert failed.nodes["raw_part_2"].retried == ("LockNotAvailable: canceling statement due to lock timeout",)
    shop.execute(*(f"insert into {name} values (2, 20)" for name in TABLES))
    assert [run.state for run in assay.history(shop.lake)] == ["failed"]
    resumed = assay.resume(fleet(shop), warehouse=shop.lake, settings=QUICK)
    assert resumed.state == "published"
    with assay.connect(shop.lake) as lake:
        counts = [lake.execute(f"select count(*) from raw.{name}").fetchone() for name in TABLES]
    assert counts == [(1,), (1,), (2,), (1,)], "others than the one that failed were read again"
    assert assay.run(fleet(shop), warehouse=shop.lake, settings=QUICK, as_of=DAY).tables["raw_part_0"].rows == 2


def test_a_log_is_read_for_all_tables_at_once() -> None:
    orders = relation("orders", columns={"id": "BIGINT"}, key="id")
    with pytest.raises(DeclarationError, match="mode 'cdc' reads one log for all tables"):
        postgres("env:SHOP_URL", mode="cdc", tables={"orders": orders}, together=False)

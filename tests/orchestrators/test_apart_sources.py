"""Sources of a run in parts: its record says all that was planned of them, and what only one process has it reads."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import assay
from assay import assembly
from assay.loading import reading
from assay.model.errors import RunError, SourceError
from assay.model.run import RunOptions
from assay.model.source import FileIdentity, Slice
from assay.orchestrators.opening import OPTIONS
from assay.runtime.planning.delivery import SourcePlan
from assay.runtime.planning.plan import make_plan
from assay.runtime.planning.record import from_record, to_record
from assay.runtime.tracing.trace import trace
from tests.orchestrators.orders import ROWS
from tests.orchestrators.test_apart import AS_OF, SETTINGS, begun, done, ended, in_parts, part, sample_pipeline
from tests.sources.postgres.shop import Shop, opened

PART = Slice("orders.csv", 1, FileIdentity("orders.csv", 3, 1, 1, 1, "00"), AS_OF.isoformat(), 1, mended_lines=(2, 3))
PLANNED = SourcePlan(
    slices=(PART,),
    to_read=frozenset(["orders.csv"]),
    gone=frozenset(["old.csv"]),
    reason="a test",
    damaged={"orders.csv": "is cut off"},
    surely=False,
    whole=True,
)


@assay.table(write=assay.Append())
def bronze_sale(sales: Any) -> Any:
    return sales


def test_the_record_of_a_plan_has_all_of_it_but_the_frames_that_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(ROWS)
    pipeline = sample_pipeline(file)
    with closing(assembly.engine(SETTINGS, None)) as engine:
        traced, state = trace(pipeline, engine), assembly.warehouse(SETTINGS, tmp_path / "lake", create=True).state()
        plan = make_plan(pipeline, traced, state, RunOptions(AS_OF, dated=True), tmp_path)
        plan = replace(plan, sources={"orders": PLANNED})
        record = json.loads(json.dumps(to_record(pipeline, plan, traced)))
        assert from_record(record, pipeline, traced, state) == plan
    plain = SourcePlan((), frozenset(), frozenset(), "")
    same = [each.name for each in fields(SourcePlan) if getattr(PLANNED, each.name) == getattr(plain, each.name)]
    assert same == ["held"], "the test must plan each field as another than it is by default"


@pytest.fixture
def shop(postgres_url: str, tmp_path: Path) -> Shop:
    shop = opened(postgres_url, tmp_path)
    shop.mode = "xmin"
    return shop


@pytest.mark.parametrize("mirrors", [False, True], ids=["read", "mirrored"])
def test_a_table_that_is_declared_with_another_column_is_read_whole(shop: Shop, mirrors: bool) -> None:
    with_another_column(shop, mirrors=mirrors)
    in_parts(shop.pipeline, shop.lake)
    assert channels(shop) == shop.there("id, note, channel")


def test_rows_that_are_not_all_are_not_taken_for_all_whatever_was_planned(shop: Shop) -> None:
    with_another_column(shop, mirrors=True)
    ticket = begun(shop.pipeline, shop.lake)
    assert ticket.run is not None
    warehouse = assembly.warehouse(SETTINGS, shop.lake, create=False)
    recorded = warehouse.newest("mirror")
    assert recorded is not None
    assert recorded.plan["sources"]["raw_orders"]["whole"]
    recorded.plan["sources"]["raw_orders"]["whole"] = False
    warehouse.record_plan(warehouse.held("mirror", ticket.run), recorded.plan)
    done(shop.pipeline, shop.lake, ticket, "raw_orders", "raw_customers")
    ended(shop.pipeline, shop.lake, ticket)
    assert channels(shop) == shop.there("id, note, channel")


def with_another_column(shop: Shop, *, mirrors: bool) -> None:
    """Publish a shop, and then have its orders another column, which one row is written with since."""
    shop.mirrors = mirrors
    assert shop.run().ok
    shop.execute("alter table orders add channel text not null default 'web'")
    shop.execute("update orders set note = 'x' where id = 1")
    shop.more = {"channel": "VARCHAR"}


def channels(shop: Shop) -> list[tuple[Any, ...]]:
    with assay.connect(shop.lake) as lake:
        return lake.sql(
            f"select id, note, channel from {'raw' if shop.mirrors else 'silver'}.orders order by 1"
        ).fetchall()


def test_a_full_run_in_parts_reads_tables_of_a_database_whole(shop: Shop) -> None:
    assert shop.run().ok
    with part(shop.lake) as apart:
        ticket = apart.begin(shop.pipeline, RunOptions(AS_OF, full=True))
    done(shop.pipeline, shop.lake, ticket, "orders", *shop.pipeline.nodes)
    assert ended(shop.pipeline, shop.lake, ticket).nodes["orders"].ledger.returned == 3


def test_a_damaged_file_goes_to_the_quarantine(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pl.DataFrame({"id": [1, 2]}).write_parquet(tmp_path / f"{name}.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    source = assay.parquet(str(tmp_path / "*.parquet"), columns={"id": "BIGINT"}, damaged="quarantine")
    pipeline = assay.Pipeline("till", tables=[bronze_sale], sources={"sales": source}, rejected_share=1.0)
    result = in_parts(pipeline, tmp_path / "lake")
    assert (result.state, result.tables["bronze_sale"].rows) == ("published", 2)
    assert [verdict.check for verdict in result.nodes["sales"].verdicts] == ["damaged files"]


class Frames:
    """A pipeline of a data frame, another each time it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.asked = folder / "lake", 0
        source = assay.dataframe(self.load, columns={"id": "BIGINT"})
        self.pipeline = assay.Pipeline("till", tables=[bronze_sale], sources={"sales": source})

    def load(self) -> pl.DataFrame:
        self.asked += 1
        return pl.DataFrame({"id": [self.asked]})

    def rows(self) -> list[tuple[int]]:
        with assay.connect(self.lake) as lake:
            return lake.sql("select id from bronze.sale order by id").fetchall()


def test_a_data_frame_is_read_as_the_run_begins_and_not_asked_for_again(tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    ticket = begun(frames.pipeline, frames.lake)
    assert (done(frames.pipeline, frames.lake, ticket, "sales", "bronze_sale"), frames.asked) == (
        ["computed", "written"],
        1,
    )
    assert (ended(frames.pipeline, frames.lake, ticket).state, frames.rows()) == ("published", [(1,)])


def test_a_data_frame_that_was_read_stays_as_it_was_when_its_run_is_opened_again(tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    ticket = begun(frames.pipeline, frames.lake, "by hand")
    with part(frames.lake) as apart:
        apart.abandon(ticket, "its machine was switched off")
    assert begun(frames.pipeline, frames.lake, "by hand") == ticket
    done(frames.pipeline, frames.lake, ticket, "sales", "bronze_sale")
    assert (ended(frames.pipeline, frames.lake, ticket).state, frames.rows()) == ("published", [(1,)])


def test_a_run_that_cannot_begin_is_closed_and_the_next_need_not_wait(tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    lake = assembly.warehouse(SETTINGS, frames.lake, create=True)
    folder = Path(lake.root, lake.folder("source:till.sales", 1)).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way of the folder")
    with pytest.raises(RunError, match=r"^Source 'sales': "):
        begun(frames.pipeline, frames.lake)
    assert [past.state for past in assay.history(frames.lake)] == ["failed"]
    folder.unlink()
    assert in_parts(frames.pipeline, frames.lake).state == "published"


def test_a_run_can_be_asked_for_the_same_by_an_orchestrator_as_by_hand() -> None:
    others = {"mended", "dated"}
    assert OPTIONS.keys() == {each.name for each in fields(RunOptions)} - others


def test_a_variable_that_holds_an_address_is_no_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTHER_SHOP", shop.url)
    declared = replace(shop, url="postgresql:///nowhere").pipeline
    given = {"orders": "env:OTHER_SHOP", "customers": "env:OTHER_SHOP"}
    assert in_parts(reading(declared, given, tmp_path), shop.lake).state == "published"
    moved = reading(sample_pipeline("x"), {"orders": "env:orders.csv"}, tmp_path)
    assert moved.sources["orders"].path == f"{tmp_path}/env:orders.csv"
    with pytest.raises(SourceError, match=r"env:orders\.csv"):
        in_parts(moved, tmp_path / "other")

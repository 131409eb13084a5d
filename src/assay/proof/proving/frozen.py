"""Rows of sources that were read once, delivered again: whole, in batches, or each in another's place."""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
from narwhals import Expr, col

from assay.model.files import Frozen
from assay.model.pipeline import Pipeline
from assay.model.ports import Destination, Frame, Session
from assay.model.schema import Schema
from assay.model.source import POSITION, SLICE_BIT
from assay.proof.proving.content import Published

_BATCH = "_assay_batch"
_PLACE = "_assay_place"
_GROWTH = 1.25
_MODULUS = 2_147_483_647


@dataclass(frozen=True, slots=True)
class Deal:
    """How rows are dealt into batches: the first has most, and each later one adds a quarter to what is there.

    So batches are small enough for tables to be computed in part, as they are when deliveries come day by day.
    """

    batches: int = 1
    seed: int | None = None
    """By which rows are dealt at random; without one, each batch has rows that follow each other."""
    backwards: bool = False
    """Whether the last rows come first."""

    def batch(self, place: Expr, rows: int) -> Expr:
        """Return which batch a row is in, by its place from 0 to the number of rows."""
        if self.seed is not None:
            place = _scrambled(place, self.seed) % max(rows, 1)
        elif self.backwards:
            place = rows - 1 - place
        begins = [rows * _GROWTH ** (number - self.batches) for number in range(1, self.batches)]
        return sum(((place >= begin).cast(nw.Int64()) for begin in begins), start=place * 0)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of every source, as one published state has them."""

    pipeline: Pipeline
    published: Published

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that some table reads."""
        return tuple(n for n in self.pipeline.sources if self.pipeline.dataset_of(n) in self.published.state.versions)

    def of(self, session: Session, source: str) -> Frame:
        """Return the rows of a source, with all that they were given on reading."""
        version = self.published.state.versions[self.pipeline.dataset_of(source)]
        return session.scan(self.published.root, version.files, version.schema, source)

    def batches(self, session: Session, deal: Deal) -> dict[str, Frame]:
        """Return the rows of every source with the number of their batch, held."""
        found = {}
        for name in self.sources:
            placed = self.of(session, name).with_row_index(_PLACE, order_by=POSITION)
            ((count,),) = session.fetch(placed.select(nw.len()))
            batch = deal.batch(col(_PLACE).cast(nw.Int64()), count)
            found[name] = session.hold(placed.with_columns(batch.alias(_BATCH)).drop(_PLACE))
        return found

    def permuted(self, session: Session, seed: int) -> dict[str, Frame]:
        """Return the rows of every source as though the lines of each delivery stood in another order, held."""
        return {name: session.hold(_permuted(self.of(session, name), seed)) for name in self.sources}


def exported(session: Session, rows: Rows, names: Collection[str], folder: Path) -> dict[str, str]:
    """Write the rows of some sources as files that can be delivered in their place: first most of them, then the rest.

    Returns the pattern of each source's files.
    """
    found = rows.batches(session, Deal(2))
    for name in names:
        schema = Schema.of(rows.pipeline.sources[name].columns.items())
        for batch in range(2):
            to = Destination(str(folder), name, f"{batch}", schema, temporary=True, even_empty=True)
            session.write(found[name].filter(col(_BATCH) == batch).select(*schema.names), to)
    return {name: f"{glob.escape(str(folder / name))}/*.parquet" for name in names}


@dataclass(frozen=True, slots=True)
class Inbox:
    """A folder that a pipeline reads frozen rows from."""

    folder: Path
    pipeline: Pipeline

    @property
    def reader(self) -> Pipeline:
        """The pipeline, reading this folder in the place of its sources."""
        return self.pipeline.with_sources(
            {
                name: Frozen(f"{glob.escape(str(self.folder / name))}/*.parquet", source.columns)
                for name, source in self.pipeline.sources.items()
            }
        )

    def deliver(self, session: Session, rows: Mapping[str, Frame], batch: int | None = None) -> None:
        """Write one delivery of every source: all of its rows, or those of a batch."""
        for name, held in rows.items():
            frame = held if batch is None else held.filter(col(_BATCH) == batch).drop(_BATCH)
            schema = self.pipeline.sources[name].schema
            # A source that has no rows now is read all the same.
            to = Destination(str(self.folder), name, f"{batch or 0}", schema, temporary=True, even_empty=True)
            session.write(frame, to)


def _permuted(frame: Frame, seed: int) -> Frame:
    """Give every row the position of another one of its delivery."""
    delivery = col(POSITION) // (1 << SLICE_BIT)
    within = col(POSITION) % (1 << SLICE_BIT)
    mixed = frame.with_columns(delivery.alias("_assay_delivery"), _scrambled(within, seed).alias("_assay_mixed"))
    moved = mixed.with_row_index(_PLACE, order_by=["_assay_delivery", "_assay_mixed", POSITION])
    places = frame.select(POSITION).with_row_index(_PLACE, order_by=POSITION)
    return moved.drop(POSITION, "_assay_delivery", "_assay_mixed").join(places, on=_PLACE).drop(_PLACE)


def _scrambled(number: Expr, seed: int) -> Expr:
    """Return a number that looks random, equal for equal numbers and seeds, on every engine."""
    found = (number * 48_271 + seed * 69_621 + 1) % _MODULUS
    for _ in range(2):
        # Below 2^62, as both factors are below 2^31.
        found = (found * found + number + seed) % _MODULUS
    return found

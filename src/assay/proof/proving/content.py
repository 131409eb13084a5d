"""What counts of a table: its columns without stamps and positions, surrogate numbers by the keys they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import narwhals as nw
from narwhals import col

from assay.model.data import Version, dataset_of_keys
from assay.model.pipeline import Pipeline
from assay.model.ports import Frame, Session
from assay.model.published import State
from assay.model.schema import Schema
from assay.proof.proving.evidence import Difference, Row
from assay.proof.proving.numbers import Numbers
from assay.runtime.computing.keys import NUMBER
from assay.runtime.tracing.trace import Traced

_NAME = "_assay_name"
_SHOWN = 5
"""Rows that are shown of each side of a difference."""


@dataclass(frozen=True, slots=True)
class Published:
    """One published state of a warehouse."""

    root: str
    state: State


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a pipeline's tables, in any warehouse."""

    pipeline: Pipeline
    traced: Mapping[str, Traced]
    numbers: Numbers

    def difference(self, session: Session, name: str, one: Published, other: Published) -> Difference | None:
        """Return how the content of a table differs between two states; None where it is the same."""
        left, right = self.of(session, name, one), self.of(session, name, other)
        if session.same_rows(left, right):
            return None
        gone, come = (session.hold(session.only_in(*pair)) for pair in ((left, right), (right, left)))
        key = self.pipeline.tables[name].key
        return Difference(
            table=name,
            columns=tuple(left.collect_schema().names()),
            key=key,
            as_delivered=_some(session, gone, key),
            here=_some(session, come, key),
            rows=sum(session.fetch(frame.select(nw.len()))[0][0] for frame in (gone, come)),
        )

    def of(self, session: Session, name: str, published: Published) -> Frame:
        """Return the content of a table."""
        columns = [column.name for column in self.traced[name].seen if not column.is_system]
        version = published.state.versions[self.pipeline.dataset_of(name)]
        frame = _scan(session, published, version, columns, name)
        for column, owner in self.numbers[name].items():
            if column in columns:
                frame = self._named(session, frame, column, owner, published)
        return frame.select(*columns)

    def _named(self, session: Session, frame: Frame, column: str, owner: str, published: Published) -> Frame:
        """Put the key that a number stands for in its place, as text; a number of no key stays: -1 for unknown."""
        names = self._names(session, owner, published)
        joined = frame.join(names, left_on=column, right_on=NUMBER, how="left")
        text = nw.coalesce(col(_NAME), col(column).cast(nw.String()))
        return joined.with_columns(text.alias(column)).drop(_NAME)

    def _names(self, session: Session, owner: str, published: Published) -> Frame:
        """Return the numbers of a table's keys, and the keys as text."""
        key = self.pipeline.tables[owner].key
        version = published.state.versions[dataset_of_keys(self.pipeline.dataset_of(owner), key)]
        frame = _scan(session, published, version, [NUMBER, *key], f"keys_of_{owner}")
        for column in key:
            if column in self.numbers[owner]:
                frame = self._named(session, frame, column, self.numbers[owner][column], published)
        parts = [col(column).cast(nw.String()).fill_null("null") for column in key]
        return frame.select(NUMBER, nw.concat_str(*parts, separator=", ").alias(_NAME))


def _scan(session: Session, published: Published, version: Version, columns: list[str], name: str) -> Frame:
    schema = Schema(tuple(version.schema[column] for column in columns))
    return session.scan(published.root, version.files, schema, name)


def _some(session: Session, frame: Frame, key: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the first rows by their key."""
    names = frame.collect_schema().names()
    return tuple(session.fetch(frame.sort(*dict.fromkeys((*key, *names))).head(_SHOWN)))

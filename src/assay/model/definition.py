"""What a database must have, beside rows, for what is published of a dbt project: tables, views, indexes, grants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from assay.model.schema import Schema

DefinitionKind = Literal["table", "view", "materialized view"]
STORED = Schema.of([("dataset", "VARCHAR"), ("body", "VARCHAR")])
"""How they are kept: a row each, in the order in which they can be made."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What has to be there for one model."""

    dataset: str
    kind: DefinitionKind
    columns: tuple[tuple[str, str], ...] = ()
    """Names and types of a table, as the server writes them."""
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    sql: str = ""
    """Of a view: what it shows."""
    indexes: tuple[tuple[tuple[str, ...], bool], ...] = ()
    """The columns of each, and whether it is unique."""
    grants: tuple[tuple[str, str], ...] = ()
    """Privilege and role."""

    def to_row(self) -> dict[str, str]:
        """Return it as a row that is STORED."""
        return {"dataset": self.dataset, "body": json.dumps(asdict(self))}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Definition:
        """Rebuild it from `to_row`."""
        body = json.loads(row["body"])
        pairs = {name: tuple((one, two) for one, two in body[name]) for name in ("columns", "grants")}
        lists = {name: tuple(body[name]) for name in ("key", "partition_by")}
        indexes = tuple((tuple(columns), unique) for columns, unique in body["indexes"])
        return cls(**{**body, **pairs, **lists, "indexes": indexes})

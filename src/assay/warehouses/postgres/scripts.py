"""Statements that people write themselves, a file each: carried out once, in the order of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, DateTime, String, Table, func, insert, inspect, select

from assay.model.errors import UsageError
from assay.warehouses.postgres.content import METADATA, driver
from assay.warehouses.postgres.database import SCHEMA

DONE = Table(
    "assay_script",
    METADATA,
    Column("name", String, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("carried_out_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


@dataclass(frozen=True, slots=True)
class Script:
    """A file of statements."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The sum of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def left(connection: Connection, scripts: Sequence[Script]) -> list[Script]:
    """Return the scripts that have not been carried out; raises UsageError for one that was changed since."""
    if not inspect(connection).has_table(DONE.name, schema=SCHEMA):
        return list(scripts)
    done = {row.name: row.sha256 for row in connection.execute(select(DONE.c.name, DONE.c.sha256))}
    for script in scripts:
        if done.get(script.name, script.sha256) != script.sha256:
            raise UsageError(f"{script.name}: was changed after it had been carried out; write what is new in another.")
    return [script for script in scripts if script.name not in done]


def carry_out(connection: Connection, scripts: Sequence[Script]) -> None:
    """Carry scripts out, in the transaction of the connection, and remember them."""
    for script in scripts:
        driver(connection).execute(script.text.encode())
        connection.execute(insert(DONE).values(name=script.name, sha256=script.sha256))

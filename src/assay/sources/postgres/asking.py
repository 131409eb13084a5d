"""Asking a database a question: for tasks that look at a source, which no table of theirs is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def ask(url: str, question: str, given: Mapping[str, Any] = _NOTHING) -> list[tuple[Any, ...]]:
    """Return the rows that answer a question to a PostgreSQL database, in SQL, which cannot change anything.

    Args:
        url: `env:NAME`, or an address without a password, as in `postgres(...)`.
        question: one query; tables are named with their schemas, and `%(name)s` stands for a value of `given`.
        given: the values, by name.

    Raises SourceError where the database cannot be reached or does not understand the question.
    """
    import psycopg

    from assay.sources.postgres.connection import connect, explained

    try:
        with connect(url) as connection:
            return connection.execute(question.encode(), dict(given)).fetchall()
    except psycopg.Error as error:
        raise explained(url, error) from None

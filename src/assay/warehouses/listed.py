"""A list in a statement as one parameter, however long it is: databases take so many parameters and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Connection, Select, func, literal, select


def listed(connection: Connection, values: Iterable[str]) -> Select[tuple[Any]]:
    """Return a query of these values, for `in_`: of files there may be more than a statement takes parameters."""
    elements = func.json_each if connection.dialect.name == "sqlite" else func.json_array_elements_text
    return select(elements(literal([*values], JSON)).table_valued("value").c.value)

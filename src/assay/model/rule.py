"""What a rule is: something that must hold between the published tables of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from assay.model.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Rule:
    """A name that says what holds, and a SELECT of the rows for which it does not."""

    name: str
    query: str
    warns: bool = False
    """Whether it only warns where it does not hold."""


def rule(name: str, query: str, *, warns: bool = False) -> Rule:
    """Declare what must hold between published tables: the rows that the SELECT returns break it.

    With `warns` it is told where it does not hold, and fails nothing:
    `rule("an order's day is not in the future", "from gold.order where day > current_date")`
    """
    if not name.strip() or not query.strip():
        raise DeclarationError("rule() needs a name that says what holds, and a SELECT of the rows that break it.")
    return Rule(name, query, warns)

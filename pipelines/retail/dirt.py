"""The faults that sample data has: of which kinds, how often, and the log that tells each of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

Row = list[Any]

CUSTOMER, PRODUCT, ORDER, LINE = "customers", "products", "orders", "order_items"

TWICE = ("delivered twice", 0.04)
"""Orders and lines that stand a second time in their file."""
SAME_PERSON = ("same person twice", 0.018)
SMALL_PRODUCTS = ("small name", 13)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: how often it is, in which place of a row, and what it makes of the value there."""

    rate: float
    place: int
    spoil: Callable[[Any, Random], Any]


def _gone(_: Any, __: Random) -> None:
    return None


def _negative(amount: Decimal, _: Random) -> Decimal:
    return -amount - 1


def _unknown(key: str, rng: Random) -> str:
    return f"{key[0]}X{rng.randrange(10**6):06}"


KINDS: Mapping[str, Mapping[str, Kind]] = {
    CUSTOMER: {
        "small name": Kind(0.10, 1, lambda name, _: name.lower()),
        "no name": Kind(0.02, 1, _gone),
        "no country": Kind(0.01, 3, _gone),
        "broken address": Kind(0.02, 2, lambda address, _: address.replace("@", "_at_")),
    },
    ORDER: {},
    LINE: {},
}
HARD: Mapping[str, Mapping[str, Kind]] = {
    CUSTOMER: {"no segment": Kind(0.01, 4, _gone), "no signup date": Kind(0.005, 5, _gone)},
    ORDER: {
        "unknown customer": Kind(0.01, 1, _unknown),
        "day ahead": Kind(0.005, 2, lambda day, rng: day + timedelta(days=rng.randint(1, 400))),
        "day long ago": Kind(0.005, 2, lambda _, __: date(1899, 12, 30)),
        "unknown status": Kind(0.01, 3, lambda _, __: "shiped"),
        "no status": Kind(0.005, 3, _gone),
        "negative amount": Kind(0.01, 4, _negative),
        "no amount": Kind(0.005, 4, _gone),
    },
    LINE: {
        "unknown order": Kind(0.005, 1, _unknown),
        "unknown product": Kind(0.005, 2, _unknown),
        "no quantity": Kind(0.003, 3, _gone),
        "quantity of zero": Kind(0.003, 3, lambda _, __: 0),
        "negative price": Kind(0.003, 4, _negative),
        "no price": Kind(0.003, 4, _gone),
        "discount above 100": Kind(0.003, 5, lambda _, __: Decimal("150.00")),
    },
}
"""Kinds that only hard data has."""


@dataclass(slots=True)
class Dirt:
    """What spoils rows, each kind as often as it should be, and notes every row that it spoils."""

    rng: Random
    kinds: Mapping[str, Mapping[str, Kind]]
    noted: list[dict[str, Any]] = field(default_factory=list)
    _owed: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(lambda: 0.5))

    def note(self, day: date, table: str, kind: str, key: str, **more: str) -> None:
        """Note one fault."""
        self.noted.append({"day": day.isoformat(), "table": table, "kind": kind, "key": key, **more})

    def chosen(self, table: str, kind: str, rate: float, rows: list[Row]) -> list[Row]:
        """Return as many rows as the rate asks for, rounded; what is not whole is owed to the next day."""
        self._owed[table, kind] += rate * len(rows)
        count = min(int(self._owed[table, kind]), len(rows))
        self._owed[table, kind] -= count
        return self.rng.sample(rows, count)

    def spoil(self, day: date, table: str, rows: list[Row]) -> None:
        """Spoil rows of a day, kind by kind; a value has one fault at most, a row may have several."""
        spoiled: set[tuple[str, int]] = set()
        for name, kind in self.kinds[table].items():
            for row in self.chosen(table, name, kind.rate, rows):
                if (row[0], kind.place) in spoiled:
                    self._owed[table, name] += 1
                    continue
                spoiled.add((row[0], kind.place))
                more = {"was": row[1]} if name == "small name" else {}
                row[kind.place] = kind.spoil(row[kind.place], self.rng)
                self.note(day, table, name, row[0], **more)

    def double(self, day: date, table: str, rows: list[Row]) -> None:
        """Let some rows stand a second time, behind all others."""
        kind, rate = TWICE
        for row in self.chosen(table, kind, rate, rows):
            rows.append(list(row))
            self.note(day, table, kind, row[0])

    def write(self, path: Path) -> None:
        """Write the log: one JSON object a line."""
        path.write_text("".join(f"{json.dumps(fault)}\n" for fault in self.noted), encoding="utf-8")


def kinds(*, hard: bool) -> dict[str, dict[str, Kind]]:
    """Return the kinds that data has."""
    return {table: {**found, **(HARD[table] if hard else {})} for table, found in KINDS.items()}

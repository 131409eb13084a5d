"""The account of every row: what was read, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.model.rows import Free, Grain, Groups, Lookup, Same, Times, counted_inputs

Number = int | float | str
"""Control totals of DECIMAL columns are kept as text, so that no digit is lost."""


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """A total that must come out of a table as it went in."""

    name: str
    went_in: Number
    came_out: Number
    agrees: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """The lines of one table's account, in rows."""

    read: Mapping[str, int] = field(default_factory=dict)
    """From each input, by the input's own manifest."""
    filtered: Mapping[str, int] = field(default_factory=dict)
    """By reason, as `drop_where` counted them."""
    returned: int = 0
    """By the function."""
    rejected: int = 0
    """Moved to the quarantine."""
    deduplicated: int = 0
    """Rows of a key beyond the one that is kept."""
    written: int = 0
    """By the footers of the files; of an unchanged table, by those of the published files."""
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    totals: tuple[ControlTotal, ...] = ()

    @property
    def filtered_rows(self) -> int:
        """The rows filtered for any reason."""
        return sum(self.filtered.values())

    def unaccounted(self, grain: Grain) -> int:
        """Return read minus returned minus filtered for a grain that states no equation, else 0."""
        return sum(self.read.values()) - self.returned - self.filtered_rows if isinstance(grain, Free) else 0

    def imbalances(self, grain: Grain) -> list[str]:
        """Return a sentence for each equation that does not hold; empty for a balanced ledger."""
        return [*self._write_equation(), *self._transform_equation(grain)]

    def _write_equation(self) -> list[str]:
        if self.returned == self.written + self.rejected + self.deduplicated:
            return []
        total = self.written + self.rejected + self.deduplicated
        parts = f"{self.written:,} written + {self.rejected:,} rejected + {self.deduplicated:,} deduplicated"
        return [f"the function returned {self.returned:,} rows, but {parts} are {total:,}"]

    def _transform_equation(self, grain: Grain) -> list[str]:
        read = sum(self.read[name] for name in counted_inputs(grain, tuple(self.read)))
        match grain:
            case Same() | Lookup():
                return self._row_equation(read, f"read {read:,} rows")
            case Times(count=count):
                return self._row_equation(read * count, f"read {read:,} rows, {count} for each are {read * count:,}")
            case Groups():
                return [
                    f"the control total {t.name} went in as {t.went_in} and came out as {t.came_out}"
                    for t in self.totals
                    if not t.agrees
                ]
            case Free():
                return []

    def _row_equation(self, expected: int, read: str) -> list[str]:
        difference = expected - self.returned - self.filtered_rows
        if difference == 0:
            return []
        lost = f"{difference:,} lost" if difference > 0 else f"{-difference:,} gained"
        remedy = "drop rows by drop_where(frame, reason, expr), or declare the grain by rows="
        account = f"it {read}, returned {self.returned:,} and filtered {self.filtered_rows:,}"
        return [f"{account}: {lost} without a declaration ({remedy})"]

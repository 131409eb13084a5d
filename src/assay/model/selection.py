"""A table that is asked for, as `--select` writes it: `name`, `+name`, `name+` or `+name+`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """One table, and whether what it reads and what follows from it is meant too."""

    name: str
    upstream: bool = False
    downstream: bool = False

    @classmethod
    def of(cls, text: str) -> Selection:
        """Return what a text asks for."""
        return cls(text.strip("+"), upstream=text.startswith("+"), downstream=text.endswith("+"))

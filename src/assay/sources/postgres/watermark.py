"""How far a table has been read: kept with its rows, and published in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from assay.model.database import Mode


@dataclass(frozen=True, slots=True)
class Watermark:
    """What one reading tells the next."""

    mode: Mode
    oid: int
    """Of the table: one that was made again is read whole."""
    server: str = ""
    """What tells the database from a copy of it: see `snapshot.identity`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name -> what tells a column from another of its name."""
    parts: Sequence[int] | None = None
    """Its partitions, by number; None where the reading did not look."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Number -> label, of the enums in its columns."""
    stamp: str | None = None
    """No transaction that the reading could not see has stamped a row earlier: ISO 8601, UTC. None where nobody knows
    that."""
    xid: int | None = None
    """All transactions before this one had ended: 64 bits, with the epoch."""
    lsn: int | None = None
    """All changes that were committed before this place in the log have been read."""
    told: str = ""
    """What tells its place in the publication from another: one that was out of it for a while has changed unheard."""
    numbered: int = 0
    """How many rows have been given a number so far."""

    def to_text(self) -> str:
        """Return it as it is kept."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Watermark:
        """Rebuild it from `to_text`."""
        return cls(**json.loads(text))

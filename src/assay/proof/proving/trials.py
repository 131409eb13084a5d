"""What is tried of a pipeline: the orders, the batches, the workers, and what must hold after each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from assay.proof.proving.frozen import Deal

Then = Literal["again", "full"]

BATCHES = 3
WORKERS = 8
_WORKERS = (1, 2, WORKERS)
_ORDERS = (1, -1, 2)
"""Seeds of the orders in which rows are presented: one, the same from last to first, and another."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How much is tried."""

    batches: int = BATCHES
    """Into how many batches the rows are dealt."""
    workers: int = WORKERS
    """The most workers that compute side by side."""
    permute_source: bool = False
    """Whether the rows of each delivery are put in another order, too."""


@dataclass(frozen=True, slots=True)
class How:
    """How one run is made."""

    workers: int | None = None
    """As the settings say, without a number."""
    seed: int | None = None
    """Of the order in which rows are presented; as they are stored, without one."""


AS_SET = How()
AT_ONCE = Deal()


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to try on a new warehouse, from frozen rows."""

    name: str
    how: How = AS_SET
    deal: Deal = AT_ONCE
    then: tuple[Then, ...] = ()
    """What is tried on what it leaves: another run, or a full one; neither may change anything."""
    permuted: bool = False
    """Whether the lines of each delivery stand in another order."""

    @property
    def folder(self) -> str:
        """The name as that of a folder."""
        return self.name.replace(",", "").replace(" ", "-")


def trials(asked: Asked) -> Iterator[Trial]:
    """Yield all that is tried."""
    yield Trial("the same rows", then=("again", "full"))
    for seed in _ORDERS:
        yield Trial(f"rows presented in order {abs(seed)}{', backwards' if seed < 0 else ''}", How(seed=seed))
    for count in sorted({min(n, asked.workers) for n in _WORKERS}):
        yield Trial(f"{count} {'worker' if count == 1 else 'workers'}", How(workers=count))
    if asked.batches > 1:
        for deal, how in (
            (Deal(asked.batches), "first to last"),
            (Deal(asked.batches, backwards=True), "last to first"),
            (Deal(asked.batches, seed=1), "dealt at random"),
        ):
            yield Trial(f"{asked.batches} batches, {how}", deal=deal, then=("full",))
    if asked.permute_source:
        yield Trial("lines of the source in another order", permuted=True)

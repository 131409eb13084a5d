"""Riding out a restart of the server: a call that lost its connection is made again, as long as one waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from assay.model.ports import Warehouse
from assay.warehouses.postgres.database import ConnectionLostError

_POLL_SECONDS = 0.2
_ONCE = frozenset({"begin", "reopen", "undo", "vacuum"})
"""Calls that another try might do twice: whoever made them is told.

A publish made again, of which just the answer was lost, finds its lease given back: the run looks itself up then.
"""


def patient(warehouse: Warehouse, *, seconds: float) -> Warehouse:
    """Return the warehouse, whose server may go away for so many seconds at a time."""
    return cast(Warehouse, _Patient(warehouse, seconds))


class _Patient:
    """Passes everything on, and again where the connection was lost."""

    def __init__(self, target: Warehouse, seconds: float) -> None:
        self._target = target
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name in _ONCE or not callable(found):
            return found
        return self._again(found)

    def _again(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def repeated(*given: Any, **named: Any) -> Any:
            deadline = time.monotonic() + self._seconds
            while True:
                try:
                    return call(*given, **named)
                except ConnectionLostError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_SECONDS)

        return repeated

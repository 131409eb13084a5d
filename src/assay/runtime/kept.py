"""Connections between two uses: to let one in takes a server longer than to read a small table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What is closed when nobody uses it any more."""

    def close(self) -> None:
        """Close it."""


_T = TypeVar("_T", bound=Closable)


class Kept(Generic[_T]):
    """Connections that are not in use, each with the address that it leads to."""

    def __init__(self, most: int = 0) -> None:
        """Say how many are kept; none, where nobody would come to close them."""
        self._most = most
        self._idle: list[tuple[str, _T]] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, address: str, connect: Callable[[], _T]) -> Iterator[_T]:
        """Lend a connection until the block ends, by whose end it must be as it was; after an error none is kept."""
        connection = self._taken(address) or connect()
        try:
            yield connection
        except BaseException:
            # What broke this one may have broken the others, and a next attempt would be lent one after the other.
            connection.close()
            self.close()
            raise
        self._keep(address, connection)

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _taken(self, address: str) -> _T | None:
        """Return one that leads there; where there is none, another gives way, so that no more are open than in use."""
        with self._lock:
            if not self._idle:
                return None
            found = next((each for each in self._idle if each[0] == address), self._idle[0])
            self._idle.remove(found)
        if found[0] == address:
            return found[1]
        found[1].close()
        return None

    def _keep(self, address: str, connection: _T) -> None:
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append((address, connection))
                return
        connection.close()

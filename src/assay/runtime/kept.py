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
    def lent(self, address: str, connect: Callable[[], _T], answers: Callable[[_T], bool]) -> Iterator[_T]:
        """Lend a connection that still answers until the block ends, by whose end it must be as it was."""
        connection = self._taken(address, answers) or connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._keep(address, connection)

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _taken(self, address: str, answers: Callable[[_T], bool]) -> _T | None:
        """Return one that leads there; where there is none, another gives way, so that no more are open than in use."""
        while (found := self._next(address)) is not None:
            leads, connection = found
            if leads == address and answers(connection):
                return connection
            connection.close()
            if leads != address:
                break
        return None

    def _next(self, address: str) -> tuple[str, _T] | None:
        with self._lock:
            found = next((each for each in self._idle if each[0] == address), next(iter(self._idle), None))
            if found is not None:
                self._idle.remove(found)
        return found

    def _keep(self, address: str, connection: _T) -> None:
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append((address, connection))
                return
        connection.close()

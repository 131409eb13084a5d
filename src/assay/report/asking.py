"""Has queries answered, each by a process of its own, which is ended when its time is over or nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.model.errors import UsageError
from assay.report.answering import Form, Question

_AT_ONCE = 2
"""Queries that run side by side; others wait."""
_PIECE = 1 << 16
_END_SECONDS = 2.0
_ANSWERING = ("-P", "-m", "assay.report.answering")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query has found, as a page shows it."""

    columns: list[str]
    numeric: list[bool]
    rows: list[list[str | None]]
    """A row a list of cells; None is a null."""
    cut: bool
    """Whether there are more rows."""
    seconds: float


class UnfinishedError(Exception):
    """A result was told in part and has no end: whoever reads it must not take it for the whole."""


@dataclass(slots=True)
class Desk:
    """Takes queries over one warehouse."""

    warehouse: str | None
    seconds: float
    """How long a query may take."""
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _spare: asyncio.Task[Process] | None = None
    """A process that waits for its question, so that nobody waits for it to start."""

    async def answer(self, query: str, at: str | None) -> Answer:
        """Return what a query finds; raises UsageError in the words that people are told."""
        asked = await self._ask(query, at, "page")
        try:
            return Answer(**_document(await asked.read(asked.out.read())))
        finally:
            await asked.end()

    async def csv(self, query: str, at: str | None) -> Asked:
        """Return what tells all that a query finds, as CSV, until it is ended; raises UsageError where it is wrong."""
        asked = await self._ask(query, at, "csv")
        try:
            _document(await asked.read(asked.out.readline()))
        except BaseException:
            await asked.end()
            raise
        return asked

    async def close(self) -> None:
        """End the process that waits."""
        if self._spare is not None:
            await _ended(await self._spare)
            self._spare = None

    async def _ask(self, query: str, at: str | None, form: Form) -> Asked:
        deadline = asyncio.get_running_loop().time() + self.seconds
        try:
            await asyncio.wait_for(self._places.acquire(), self.seconds)
        except TimeoutError:
            raise UsageError(f"{_AT_ONCE} other queries are under way; try again when they have ended.") from None
        # Taken before it is waited for, so that nobody else gets it.
        taken = self._spare or asyncio.create_task(_started())
        self._spare = asyncio.create_task(_started())
        try:
            process = await taken
        except BaseException:
            self._places.release()
            raise
        asked = Asked(process, self._places, deadline, self.seconds)
        question = Question(query, at, self.warehouse, form, self.seconds)
        if process.stdin is not None:
            # It stays open: its end tells the process that nobody waits any more, also where the server was killed.
            process.stdin.write(f"{json.dumps(asdict(question))}\n".encode())
        return asked


@dataclass(slots=True)
class Asked:
    """A process at work on a query, which whoever has asked ends."""

    process: Process
    places: asyncio.Semaphore
    deadline: float
    seconds: float
    is_ended: bool = False

    @property
    def out(self) -> asyncio.StreamReader:
        """What it tells."""
        assert self.process.stdout is not None
        return self.process.stdout

    async def read(self, reading: Awaitable[bytes]) -> bytes:
        """Wait for what it tells, as long as it may take; raises UsageError after that."""
        left = self.deadline - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(reading, max(0.0, left))
        except TimeoutError:
            raise UsageError(
                f"The query was ended after {self.seconds:g} s. Ask for less, or let `assay report` give it longer: "
                "--query-seconds."
            ) from None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what it tells, to its end; raises UnfinishedError where that does not come in time."""
        try:
            while piece := await self.read(self.out.read(_PIECE)):
                yield piece
            if await self.process.wait():
                raise UnfinishedError
        except UsageError:
            raise UnfinishedError from None

    async def end(self) -> None:
        """End the process, whatever it is at, and make room for the next."""
        if not self.is_ended:
            self.is_ended = True
            self.places.release()
            await _ended(self.process)


async def _started() -> Process:
    # In a session of its own: Ctrl-C is for the server, which ends it.
    return await asyncio.create_subprocess_exec(
        sys.executable, *_ANSWERING, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
    )


async def _ended(process: Process) -> None:
    """End a process, unless it has told all and ends by itself, and wait for its end."""
    if process.stdout is None or not process.stdout.at_eof():
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _END_SECONDS)


def _document(told: bytes) -> dict[str, Any]:
    """Return what a process has answered; raises UsageError where that is an error, or nothing."""
    try:
        document = json.loads(told)
    except ValueError:
        raise UsageError(
            "The query has ended the process that ran it: it needs more memory than there is, or found a fault of the "
            "engine."
        ) from None
    if "error" in document:
        raise UsageError(document["error"])
    return dict(document)

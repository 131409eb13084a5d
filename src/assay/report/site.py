"""The site: what each address shows, and how errors are shown."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from assay.engines.duckdb import quoting
from assay.model.errors import AssayError, UsageError, WarehouseError, describe
from assay.model.past import read_at
from assay.model.ports import Warehouse
from assay.observe.saying import say
from assay.report import overview as gather
from assay.report import pages
from assay.report.asking import Answer, Asked, Desk

_LISTED, _MOST_LISTED = 100, 100_000
_QUERY_BYTES = 200_000
_KINDS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Site:
    """The pages of one warehouse."""

    stored: Warehouse
    place: str
    """Where it is, as people may see it."""
    desk: Desk
    templates: Environment = field(default_factory=pages.environment)

    def app(self) -> Starlette:
        """Return what answers requests."""
        return Starlette(
            routes=[
                Route("/", self.status),
                Route("/runs", self.runs),
                Route("/runs/{number}", self.run),
                Route("/tables/{name}", self.table),
                Route("/sql", self.write, methods=["GET"]),
                Route("/sql", self.ask, methods=["POST"]),
                Route("/sql.csv", self.ask_csv, methods=["POST"]),
                Route("/assets/{name}", _asset),
            ],
            exception_handlers={AssayError: self._refused, HTTPException: self._missed, Exception: self._failed},
            lifespan=self._lifespan,
        )

    def status(self, request: Request) -> Response:
        """Show what stands, and the newest run of each pipeline."""
        del request
        return self._page("status.html", "Status", overview=gather.overview(self.stored, self.place))

    def runs(self, request: Request) -> Response:
        """Show the history."""
        asked = request.query_params.get("limit", "")
        limit = min(int(asked), _MOST_LISTED) if asked.isascii() and asked.isdigit() else _LISTED
        found = self.stored.history(limit + 1)
        return self._page("runs.html", "Runs", runs=found[:limit], more=len(found) > limit, limit=limit)

    def run(self, request: Request) -> Response:
        """Show what one run did."""
        number = _state(request.path_params["number"])
        if not isinstance(number, int):
            raise gather.NotThereError(f"Runs have numbers, and {request.path_params['number']!r} is none.")
        return self._page("run.html", "Runs", page=gather.run_page(number, self.stored))

    def table(self, request: Request) -> Response:
        """Show a table as it is published, or was."""
        at = request.query_params.get("at", "")
        page = gather.table_page(request.path_params["name"], self.stored, _state(at))
        layer, _, entity = page.status.dataset.partition(".")
        quoted = f"{quoting.name(layer)}.{quoting.name(entity)}"
        return self._page("table.html", "Status", page=page, at=at, quoted=quoted)

    def write(self, request: Request) -> Response:
        """Show the field for a query; what an address says is shown in it, and not run."""
        return self._desk(request.query_params.get("query", ""), request.query_params.get("at", ""))

    async def ask(self, request: Request) -> Response:
        """Show what a query has found, or what is wrong with it."""
        query, at = await _asked(request)
        try:
            _state(at)
            found = await _unless_gone(request, self.desk.answer(query, at or None))
        except UsageError as error:
            return await asyncio.to_thread(self._desk, query, at, error=str(error))
        return await asyncio.to_thread(self._desk, query, at, answer=found)

    async def ask_csv(self, request: Request) -> Response:
        """Give all that a query finds as a file."""
        query, at = await _asked(request)
        try:
            _state(at)
            found = await self.desk.csv(query, at or None)
        except UsageError as error:
            return await asyncio.to_thread(self._desk, query, at, error=str(error))
        return _Csv(found)

    def _desk(self, query: str, at: str, *, answer: Answer | None = None, error: str | None = None) -> Response:
        published = [run for run in self.stored.history(_LISTED) if run.published is not None]
        tables = gather.columns(self.stored)
        given = {"query": query, "at": at, "answer": answer, "error": error, "published": published, "tables": tables}
        return self._page("sql.html", "SQL", code=400 if error else 200, **given)

    def _page(self, template: str, section: str, *, code: int = 200, **given: Any) -> Response:
        text = pages.page(self.templates, template, place=self.place, section=section, **given)
        return HTMLResponse(text, code)

    def _refused(self, request: Request, error: Exception) -> Response:
        del request
        code, title = 400, "This cannot be shown"
        if isinstance(error, gather.NotThereError):
            code, title = 404, "Not there"
        elif isinstance(error, WarehouseError):
            code, title = 503, "The warehouse cannot be read"
        return self._page("wrong.html", "", code=code, title=title, message=describe(error))

    def _missed(self, request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        message = "There is no such page." if code == 404 else str(getattr(error, "detail", error))
        return self._page("wrong.html", "", code=code, title="Not there", message=f"{request.url.path}: {message}")

    def _failed(self, request: Request, error: Exception) -> Response:
        say(f"assay: {request.url.path}: {describe(error)}")
        title, message = "Something went wrong", "This page cannot be shown; the terminal of `assay report` tells why."
        return self._page("wrong.html", "", code=500, title=title, message=message)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        try:
            yield
        finally:
            await self.desk.close()


class _Csv(StreamingResponse):
    """A result as a file; its query ends with it, also where the browser goes before it has begun to read."""

    def __init__(self, asked: Asked) -> None:
        name = {"content-disposition": 'attachment; filename="query.csv"'}
        super().__init__(asked.pieces(), media_type="text/csv", headers=name)
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._asked.end()


def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KINDS:
        raise HTTPException(404)
    return Response(pages.asset(name), media_type=_KINDS[name])


def _state(text: str) -> int | dt.datetime | None:
    """Return the state that is asked for, None for the newest; raises UsageError where the text names none."""
    if not text.strip():
        return None
    try:
        return read_at(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is neither a run nor a time; write 12, or 2024-12-01T08:00 (UTC).") from None


async def _asked(request: Request) -> tuple[str, str]:
    """Return the query and the state of a form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _QUERY_BYTES:
            raise HTTPException(413, "The query is too long.")
    fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    # Browsers send lines with the ends that the network has.
    return fields.get("query", [""])[0].replace("\r\n", "\n"), fields.get("at", [""])[0].strip()


async def _unless_gone(request: Request, answering: Any) -> Answer:
    """Wait for an answer as long as the browser does."""
    work, gone = asyncio.ensure_future(answering), asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise HTTPException(499, "Nobody waits for the answer any more.")
        found: Answer = work.result()
        return found
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _left(receive: Callable[[], Any]) -> None:
    """Return when the browser has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass

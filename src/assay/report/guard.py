"""Who may see the pages: a browser that was given the key, by this machine's own name, and from the pages alone."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = frozenset({"127.0.0.1", "localhost"})
"""Names of this machine: a page elsewhere whose name is made to lead here is called otherwise."""
SAFE = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: a form would be sent without its origin.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_ENTER = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<link rel="icon" href="/assets/icon.svg"><title>assay</title>'
)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets through to the pages who may see them; on a machine of several users, its address alone lets nobody in."""

    app: ASGIApp
    key: str
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the pages answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._refusal(scope, headers)

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                safe = [(name.encode(), value.encode()) for name, value in SAFE.items()]
                message = {**message, "headers": [*message.get("headers", ()), *safe]}
            await send(message)

        await (answer or self.app)(scope, receive, safely)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Return what is answered instead of a page; None where the page may be seen."""
        host = headers.get("host", "")
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            return PlainTextResponse("This server answers to 127.0.0.1 and localhost alone.\n", 421)
        if "origin" in headers and headers["origin"] != f"http://{host}":
            return PlainTextResponse("A request from another site is refused.\n", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and self._fits(given):
            # No redirect: after one from another site, such as a terminal in a browser, the cookie would not be sent.
            entered = HTMLResponse(_ENTER)
            entered.set_cookie(self._cookie, self.key, httponly=True, samesite="strict")
            return entered
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("A request from another site is refused.\n", 403)
        if not self._fits(_cookie_of(headers, self._cookie)):
            return PlainTextResponse("Open the address that `assay report` has printed, with its key.\n", 403)
        return None

    @property
    def _cookie(self) -> str:
        """The cookie's name: browsers send one to all ports of a machine."""
        return f"assay_{self.port}"

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.key.encode())


def _cookie_of(headers: Mapping[str, str], name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""

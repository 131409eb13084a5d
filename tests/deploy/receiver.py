"""A server that takes documents as Elasticsearch's _bulk does, for tests of what is shipped to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Receiver:
    """What it was sent, and what it answers first before it takes anything."""

    refusals: list[int]
    url: str = ""
    documents: list[dict[str, Any]] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    def answer(self, login: str, body: str) -> int:
        """Take the documents of one request, or refuse it."""
        with self.lock:
            self.logins.add(login)
            if self.refusals:
                return self.refusals.pop(0)
            actions, documents = body.splitlines()[::2], body.splitlines()[1::2]
            assert [json.loads(action) for action in actions] == [{"index": {}}] * len(documents)
            self.documents += map(json.loads, documents)
            return 200


@contextmanager
def receiving(*refusals: int) -> Iterator[Receiver]:
    """Run such a server until the block ends."""
    receiver = Receiver([*refusals])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            self.send_response(receiver.answer(login, body))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/assay/_bulk"
        Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()

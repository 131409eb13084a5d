"""A mail server on this machine that keeps what it is sent."""

from __future__ import annotations

import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage


@dataclass
class Mailbox:
    """What was sent, in order."""

    port: int
    letters: list[EmailMessage] = field(default_factory=list)

    def said(self) -> list[tuple[str, str]]:
        """Return the subject and the text of each letter."""
        return [(str(letter["Subject"]), _text(letter)) for letter in self.letters]


class _Session(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs that asks for nothing special."""

    letters: list[EmailMessage]

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"DATA":
                    self._say("354 go on")
                    self._keep()
                case b"QUIT":
                    self._say("221 bye")
                    return
            if line[:4].upper() != b"QUIT":
                self._say("250 ok")

    def _keep(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.letters.append(message_from_bytes(b"".join(lines), policy=email.policy.default))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def opened() -> Iterator[Mailbox]:
    """Listen on a free port until the block ends."""
    letters: list[EmailMessage] = []
    session = type("Session", (_Session,), {"letters": letters})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Mailbox(server.server_address[1], letters)
        server.shutdown()


def _text(letter: EmailMessage) -> str:
    body = letter.get_body(("html", "plain"))
    return str(body.get_content()) if body else ""

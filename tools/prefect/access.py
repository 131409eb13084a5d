"""Asking a server of Prefect, with a password where it wants one, which stands in no command and in no log."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

API, PASSWORD = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"  # pragma: allowlist secret
OWN = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A server that is started again knows who holds slots of a limit; else these were taken for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Who waits for a slot asks again after a second, not after up to 30.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
}
"""What our servers and workers are told; none tells anybody about itself."""
BUSY_SECONDS = 60.0
GUARDED = "/admin/version"
"""What only those may ask who are let in."""


class OperatingError(Exception):
    """What is asked for cannot be done; the text says why, and what helps."""


@dataclass(frozen=True)
class Access:
    """Where a server answers, and the file with the password that it asks for."""

    url: str
    password_file: str | None = None
    """None where PREFECT_API_AUTH_STRING holds it, or there is none."""

    @property
    def password(self) -> str | None:
        """What it asks for, as user:password; None where there is none."""
        if self.password_file is None:
            return os.environ.get(PASSWORD)
        file = Path(self.password_file)
        if not file.is_file():
            raise OperatingError(f"There is no file {file}, which should hold user:password.")
        if file.stat().st_mode & 0o077:
            raise OperatingError(f"{file} holds a password, and others can read it: chmod 600 {file}")
        return file.read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs find it."""
        password = self.password
        return {**OWN, API: self.url, **({PASSWORD: password} if password else {})}

    def ask(self, path: str, body: object = None) -> Any:
        """Return what its API answers."""
        return answered(self._request(path, self.password, body))

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            return bool(self.ask("/health"))
        except OSError:
            return False

    def lets_in(self, password: str | None) -> bool:
        """Whether it answers those who come with a password, or with none."""
        try:
            with urllib.request.urlopen(self._request(GUARDED, password), timeout=30):
                return True
        except urllib.error.HTTPError as refused:
            if refused.code != 401:
                raise
            return False

    def _request(self, path: str, password: str | None, body: object = None) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        if password:
            headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(f"{self.url}{path}", data, headers)


def answered(request: urllib.request.Request) -> Any:
    """Return what a server answers, also one whose database has been busy for some seconds."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code != 503 or time.monotonic() > deadline:
                raise
        time.sleep(0.5)

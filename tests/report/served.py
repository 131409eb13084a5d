"""A project whose pages are served by the real command, and a plain client that asks for them."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.conformance.processes import SECONDS, Process, call, started
from tests.conformance.project import MODULE, make

SCRIPT = "<script>document.title = 'taken over'</script>"
SECOND_DAY = f"""id,note,ordered_on,amount,changed_at
4,{SCRIPT},2024-11-03,7.00,2024-11-03 08:00:00
5,too much,2024-11-03,7000.00,2024-11-03 08:00:00
6,f,2024-11-03,8.00,2024-11-03 08:00:00
"""
PROBLEM = "gold_broken failed: ConversionException: Conversion Error: Could not convert string 'a' to INT64"


def project_with_runs(folder: Path, *place: str) -> Path:
    """A project with two published runs, the second of which has rejected a row, and one that failed."""
    make(folder)
    # One row in six is no accident here.
    lenient = {"rejected_share": "0.5"}
    for as_of in ("2024-12-01", "2024-12-02"):
        assert call("run", "orders", "--as-of", as_of, *place, cwd=folder, **lenient).returncode == 0
        (folder / "data/second.csv").write_text(SECOND_DAY)
    fail(folder, *place)
    return folder


def fail(folder: Path, *place: str) -> None:
    """Make a run of the project that fails."""
    broken = MODULE.replace('"orders", tables=good', '"orders", tables=[*good, gold_broken]')
    (folder / "shop_orders.py").write_text(broken)
    assert call("run", "orders", "--as-of", "2024-12-03", *place, cwd=folder).returncode == 1
    (folder / "shop_orders.py").write_text(MODULE)


@dataclass(frozen=True)
class Reply:
    """What the server has answered."""

    code: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Served:
    """A command that serves pages, and one browser's cookie."""

    process: Process
    url: str
    cookie: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enter(self) -> Served:
        """Open the address that was printed, with its key."""
        parts = urlsplit(self.url)
        found = self.get(f"{parts.path}?{parts.query}")
        assert found.code == 200
        self.cookie = {"Cookie": found.headers["set-cookie"].partition(";")[0]}
        return self

    def get(self, path: str, **headers: str) -> Reply:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> Reply:
        return self._ask("POST", path, urlencode(form), {"Origin": self.site, **headers})

    def sql(self, query: str, at: str = "") -> Reply:
        return self.post("/sql", {"query": query, "at": at})

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            connection.request(method, path, body, {**self.cookie, **named})
            found = connection.getresponse()
            told = {name.lower(): value for name, value in found.getheaders()}
            return Reply(found.status, told, found.read().decode())


@contextmanager
def served(folder: Path, *more: str, stderr: int = subprocess.PIPE, **settings: str) -> Iterator[Served]:
    """Serve the pages of a project's warehouse on a port that is free."""
    with started("report", "--port", "0", *more, cwd=folder, stderr=stderr, **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.communicate(timeout=SECONDS)
        yield Served(process, url)


def ask_in_vain(pages: Served, query: str) -> None:
    """Ask what the server will not live to answer."""
    try:
        pages.sql(query)
    except (OSError, http.client.HTTPException):
        return

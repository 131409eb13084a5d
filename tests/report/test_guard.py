"""Who sees the pages, and how the command begins and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.parse import urlsplit

import pytest

from tests.conformance.processes import ASSAY, SECONDS, call, finished
from tests.conformance.project import told
from tests.report.served import Served, ask_in_vain, served
from tests.report.test_sql import ENDLESS


@pytest.mark.row("000-24")
def test_nobody_sees_a_page_without_the_key(project: Path) -> None:
    with served(project) as pages:
        for path in ("/", "/runs", "/sql", "/assets/page.css", "/?key=", "/?key=wrong"):
            assert pages.get(path).code == 403
        assert pages.post("/sql", {"query": "select 1"}).code == 403
        assert pages.enter().get("/").code == 200
        assert pages.get("/", Cookie=f"assay_{pages.port}=wrong").code == 403


def test_the_key_is_given_to_the_browser_and_no_script(site: Served) -> None:
    parts = urlsplit(site.url)
    found = site.get(f"{parts.path}?{parts.query}").headers["set-cookie"]
    assert "HttpOnly" in found
    assert "SameSite=strict" in found


@pytest.mark.row("000-24")
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", "localhost.:1", ""])
def test_a_name_that_is_not_this_machines_is_refused(site: Served, host: str) -> None:
    assert site.get("/", Host=host).code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1"])
def test_this_machine_may_be_reached_by_a_tunnel(site: Served, host: str) -> None:
    assert site.get("/", Host=host).code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_request_from_another_site_is_refused(site: Served, headers: dict[str, str]) -> None:
    assert site.post("/sql", {"query": "select 1"}, **headers).code == 403
    assert site.get("/", **headers).code == 403


def test_every_answer_says_that_nothing_from_elsewhere_belongs_to_it(site: Served) -> None:
    for reply in (site.get("/"), site.get("/nowhere"), site.get("/", Host="evil.example"), site.sql("selec")):
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (reply.headers["x-content-type-options"], reply.headers["cache-control"]) == ("nosniff", "no-store")
        assert "server" not in reply.headers


def test_a_query_of_any_length_is_not_read(site: Served) -> None:
    assert site.sql("x" * 300_000).code == 413


@pytest.mark.row("000-24")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_frees_the_port(project: Path, number: signal.Signals) -> None:
    with served(project) as pages:
        assert pages.enter().sql("select 1").code == 200
        pages.process.send_signal(number)
        end = finished(pages.process)
        assert (end.returncode, end.stderr) == (0, "")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", pages.port))


@contextmanager
def query_at_work(project: Path) -> Iterator[Served]:
    """Serve pages of which a query without an end is asked; once they end, it must end too."""
    with served(project, "--query-seconds", str(SECONDS)) as pages:
        pages.enter()
        asking = threading.Thread(target=ask_in_vain, args=(pages, ENDLESS))
        asking.start()
        _until(lambda: len(_children(pages.process.pid)) == 2)
        children = _children(pages.process.pid)
        yield pages
        asking.join()
        _until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_a_signal_ends_a_query_that_is_at_work_too(project: Path) -> None:
    with query_at_work(project) as pages:
        pages.process.send_signal(signal.SIGINT)
        end = finished(pages.process)
        assert (end.returncode, end.stderr) == (0, "")


def test_a_query_ends_with_a_server_that_is_killed(project: Path) -> None:
    with query_at_work(project) as pages:
        pages.process.kill()


def test_a_browser_that_goes_ends_its_query(project: Path) -> None:
    with served(project, "--query-seconds", str(SECONDS)) as pages:
        pages.enter()
        head = "\r\n".join(f"{name}: {value}" for name, value in {**pages.cookie, "Origin": pages.site}.items())
        body = f"query={ENDLESS}"
        with socket.create_connection(("127.0.0.1", pages.port)) as browser:
            host = f"Host: 127.0.0.1:{pages.port}"
            browser.sendall(
                f"POST /sql HTTP/1.1\r\n{host}\r\n{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            _until(lambda: len(_children(pages.process.pid)) == 2)
            worker = min(_children(pages.process.pid))
        _until(lambda: not Path(f"/proc/{worker}").exists())
        assert pages.sql("select 1").code == 200


def test_the_address_is_opened_in_a_browser_where_that_is_asked_for(project: Path, tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.new\nmv {seen}.new {seen}\n')
    browser.chmod(0o755)
    variables = {**os.environ, "BROWSER": str(browser)}
    command = [str(ASSAY), "report", "--port", "0", "--open", "--json"]
    with Popen(command, cwd=project, env=variables, text=True, stdout=PIPE, stderr=PIPE) as process:
        try:
            _until(seen.is_file)
            assert seen.read_text().startswith("http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            end = finished(process)
        finally:
            process.kill()
    assert (end.returncode, end.stderr, json.loads(end.stdout)) == (0, "", {"url": seen.read_text()})


def test_a_port_that_is_taken_is_told_with_the_remedy(site: Served, project: Path) -> None:
    told(call("report", "--port", str(site.port), cwd=project), 2, f"127.0.0.1:{site.port}", "--port")


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _until(true: object) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)

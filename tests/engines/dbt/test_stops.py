"""A run that is stopped or killed while dbt builds leaves no process at work, and nothing that the next one keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conformance.processes import ASSAY
from tests.engines.dbt.tiny import LEFT, Tiny

pytestmark = [pytest.mark.dbt, pytest.mark.faults]

SECONDS = 60.0
SLOW = """
select sum(amount) as amount, (select count(*) from (select pg_sleep(seconds) from control.pause) as slept) as slept
from {{ ref('stg_orders') }}
"""
SLEEPS = "select 1 from pg_stat_activity where state = 'active' and query ~ 'pg_sleep' and pid <> pg_backend_pid()"
TOTAL = "select amount from marts.slow"


@contextmanager
def _run(tiny: Tiny) -> Iterator[subprocess.Popen[str]]:
    own = {"TINY_SOURCE": tiny.source, "TMPDIR": str(tiny.folder), "XDG_CACHE_HOME": str(tiny.folder / "cache")}
    command = [ASSAY, "run", "shop_tiny:tiny", "--warehouse", tiny.url]
    with subprocess.Popen(
        command, cwd=tiny.folder, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _until(seen: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < end, "nothing of it was seen"
        time.sleep(0.02)


def _builds(tiny: Tiny) -> list[str]:
    """Return the processes of dbt that are at work for a project."""
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    return [
        command.decode() for command in commands if os.fsencode(tiny.folder) in command and b"assay-dbt-" in command
    ]


@pytest.fixture
def slow(tiny: Tiny) -> Tiny:
    """The project, published, and so that the next run would build for an hour."""
    tiny.execute("create schema control", "create table control.pause as select 0 as seconds")
    tiny.model("slow", SLOW)
    assert tiny.run().state == "published"
    tiny.execute("update control.pause set seconds = 3600")
    tiny.change("update orders set amount = amount + 1")
    return tiny


def _goes_on(tiny: Tiny) -> None:
    assert tiny.rows(TOTAL) == [(Decimal("67.50"),)]
    tiny.execute("update control.pause set seconds = 0")
    assert tiny.run().state == "published"
    assert (tiny.rows(TOTAL), tiny.rows(LEFT)) == ([(Decimal("70.50"),)], [])


def test_a_signal_ends_a_run_that_waits_for_dbt_and_all_that_dbt_has_asked_for(slow: Tiny) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with _run(slow) as process:
            _until(lambda: slow.rows(SLEEPS))
            process.send_signal(number)
            _, said = process.communicate(timeout=SECONDS)
        assert (process.returncode, said.splitlines()[-1]) == (code, "assay: interrupted; nothing was published.")
        assert (_builds(slow), slow.rows(SLEEPS), slow.rows(LEFT)) == ([], [], [])
    _goes_on(slow)


def test_a_killed_run_takes_dbt_along_and_the_server_ends_what_it_was_asked(slow: Tiny) -> None:
    with _run(slow) as process:
        _until(lambda: slow.rows(SLEEPS))
        process.kill()
    _until(lambda: not _builds(slow) and not slow.rows(SLEEPS))
    assert len(slow.rows(LEFT)) == 3
    with _run(slow) as process:
        _until(lambda: {int(name.split("_")[2]) for (name,) in slow.rows(LEFT)} == {3})
        process.kill()
    _until(lambda: not _builds(slow))
    assert len(list(slow.folder.rglob("assay-dbt-*"))) == 1, "the copy of the first has gone with the second"
    _goes_on(slow)


def test_the_dbt_of_a_run_that_sleeps_is_ended_by_the_run_that_takes_it_over(slow: Tiny) -> None:
    with _run(slow) as process:
        _until(lambda: slow.rows(SLEEPS))
        process.send_signal(signal.SIGSTOP)
        slow.execute("update assay.assay_lease set run = null")
        _goes_on(slow)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, said
    assert (slow.rows(TOTAL), slow.rows(LEFT)) == ([(Decimal("70.50"),)], [])

"""The targets of make: all that were agreed are listed, and those that need Docker say so where there is none."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

AGREED = (
    *("help", "build", "up", "down", "restart", "logs", "etl", "dbt-run", "dbt-test", "dbt-docs", "pipeline", "test"),
    *("lint", "format", "db-source", "db-target", "db-reset", "clean", "setup"),
)
OF_DOCKER = ("build", "up", "down", "restart", "logs", "etl", "pipeline", "db-source", "db-target", "db-reset", "smoke")


def make(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | more, text=True, capture_output=True, check=False)


@pytest.mark.row("002-18")
def test_every_target_that_was_agreed_is_listed_with_what_it_does() -> None:
    listed = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", make("help").stdout, re.M))
    assert [target for target in AGREED if target not in listed] == []
    assert "\nDeployment (" in make("help").stdout


@pytest.mark.row("002-18")
@pytest.mark.parametrize("target", OF_DOCKER)
def test_a_target_that_needs_docker_says_so_where_there_is_none(tmp_path: Path, target: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    done = make(target, f"LOCAL={tmp_path}/local", "YES=1", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert (done.returncode, "needs Docker with its plugin compose" in done.stderr) == (2, True), done

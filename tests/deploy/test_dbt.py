"""The targets of make that call dbt build and test the marts, as the role that is for it."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.deploy.deployed import Deployed, as_role, asked
from tests.deploy.files import ROOT
from tests.deploy.servers import variables


@pytest.mark.dbt
def test_dbt_builds_and_tests_the_marts_as_transformer(loaded: Deployed) -> None:
    place = {name: value for name, value in variables(loaded.target).items() if name.startswith("PG")}
    known = os.environ | place | {"PGUSER": "transformer", "PGDATABASE": "shop", "PGPASSFILE": os.devnull}
    for target in ("dbt-run", "dbt-test"):
        done = subprocess.run(["make", target], cwd=ROOT, env=known, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ERROR=0" in done.stdout
    assert asked(as_role(loaded.target, "transformer"), "select count(*) from marts.dim_customers") == [(5,)]

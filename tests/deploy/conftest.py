"""Two servers made by the scripts of deploy/, before and after the first load."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from assay.warehouses.postgres.server.embedded import embedded
from tests.deploy.deployed import Deployed, asked
from tests.deploy.files import ROOT
from tests.deploy.servers import own_programs, plain, script, variables


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    assert script("prepare.sh", folder / "local", environment=os.environ).returncode == 0
    own = pytestconfig.getoption("--postgres")
    with embedded(folder / "source", binaries=own) as one, embedded(folder / "target", binaries=own) as other:
        urls = []
        for name, url in (("source", plain(one)), ("target", plain(other))):
            asked(url, "create database shop")
            shop = url.replace("/assay?", "/shop?")
            known = own_programs(shop, folder / "programs") | variables(shop)
            known |= {"POSTGRES_USER": "assay", "SECRETS": str(folder / "local/secrets")}
            made = script(f"{name}/roles.sh", environment=known)
            assert made.returncode == 0, made.stderr
            urls.append(shop)
        for name in ("schema", "sample"):
            asked(urls[0], (ROOT / f"pipelines/shop/source/{name}.sql").read_text())
        yield Deployed(*urls)


@pytest.fixture(scope="module")
def loaded(deployed: Deployed) -> Deployed:
    """The same after the first load, by who may define tables."""
    first = deployed.sync("owner", "--migrate")
    assert (first.returncode, json.loads(first.stdout)["state"]) == (0, "published"), first.stderr
    return deployed

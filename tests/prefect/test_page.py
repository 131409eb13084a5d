"""The page on Prefect, tried where Prefect is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from tests.docs.pages import tried
from tests.docs.test_snippets import PREFECT
from tests.prefect.conftest import Server


@pytest.fixture
def _alone_on_the_server(prefect_server: Server) -> Iterator[None]:
    """Let the page's worker find just what the page starts, and leave nothing that other tests' workers would find."""
    emptied()
    yield
    emptied()


def emptied() -> None:
    """Take all deployments and flow runs from the server, with what is to be done again after a killed worker."""
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        while found := client.read_flow_runs(limit=200):
            for run in found:
                client.delete_flow_run(run.id)


@pytest.mark.usefixtures("_alone_on_the_server")
def test_every_block_of_the_page_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    tried(PREFECT, tmp_path)

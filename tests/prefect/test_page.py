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
def _gone_afterwards(prefect_server: Server) -> Iterator[None]:
    """Take the page's deployments from the server at the end, and what waits to be run with them."""
    yield
    with get_client(sync_client=True) as client:
        for name in ("orders/nightly", "orders/revenue-hourly"):
            client.delete_deployment(client.read_deployment_by_name(name).id)


@pytest.mark.usefixtures("_gone_afterwards")
def test_every_block_of_the_page_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    tried(PREFECT, tmp_path)

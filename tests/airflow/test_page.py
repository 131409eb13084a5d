"""The page on Airflow, tried where Airflow is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import tried
from tests.docs.test_snippets import AIRFLOW


@pytest.mark.usefixtures("dags")
def test_every_block_of_the_page_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    tried(AIRFLOW, tmp_path)

"""Tables that wait for something slow wait side by side: nine of one second take one or two, not nine."""

from __future__ import annotations

from pathlib import Path

import pytest

import assay
from assay.settings import Settings
from benchmarks.one_second import NAMES, one_second, serve


@pytest.mark.row("000-34")
@pytest.mark.parametrize(("workers", "at_once"), [(9, 9), (3, 3)])
def test_as_many_tables_wait_at_once_as_there_are_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, at_once: int
) -> None:
    place = tmp_path / "place"
    serve(place)
    monkeypatch.chdir(place)
    result = assay.run(one_second, warehouse=tmp_path / "lake", settings=Settings(workers=workers, folder=str(place)))
    assert result.ok, result.problems
    assert len(result.tables) == len(NAMES) == 9
    spans = [(node.started_at, node.ended_at) for node in result.tables.values()]
    under_way = [
        sum(began <= moment < ended for began, ended in spans if began and ended) for moment, _ in spans if moment
    ]
    assert max(under_way) == at_once

"""In a storm of writers and kills nothing is lost: afterwards source and target are equal by content."""

from __future__ import annotations

import logging

import pytest

import assay
from assay.model.database import Mode
from tests.sources.postgres.shop import Shop
from tests.sources.postgres.storm import Storm


@pytest.mark.faults
@pytest.mark.row("002-02", "002-03", "002-05")
@pytest.mark.parametrize("mode", ["full", "horizon", "xmin"])
def test_after_a_storm_source_and_target_are_equal(shop: Shop, mode: Mode, storm_seconds: float) -> None:
    shop.mode, shop.deletes = mode, True
    storm = Storm(shop, seed=7, seconds=storm_seconds)
    storm.blow()
    assert shop.run().state in ("published", "unchanged")
    assert shop.here() == shop.there()
    assert shop.run().state == "unchanged"
    runs = [run for run in assay.history(shop.lake, limit=100_000) if run.state == "published"]
    logging.getLogger("storm").warning("%s: %d published, %s", mode, len(runs), sorted(storm.done.items()))
    assert storm.done["killed"] >= 3
    assert storm.done["transactions"] > 20 * storm_seconds

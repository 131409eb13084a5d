"""Every dataset has a folder of its kind, and a file is found by where it is recorded, wherever new ones are put."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from assay.model.data import dataset_of_definitions, dataset_of_rejects
from assay.model.definition import STORED, Definition
from assay.model.vacuum import Retention
from assay.warehouses import layout
from tests.conformance.implementations import ADDRESS, ENGINES, WAREHOUSES
from tests.conformance.place import Place

DEFINITIONS = dataset_of_definitions("shop")
FILE = "12-1-0a1b2c3d-0000-4000-8000-000000000000.parquet"


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url.replace("+psycopg", "")


@pytest.fixture
def place(tmp_path: Path, url: str) -> Iterator[Place]:
    """A database, with an engine for its files."""
    (tmp_path / ADDRESS).write_text(url)
    with ENGINES["duckdb"]() as engine:
        yield Place("postgres", tmp_path, WAREHOUSES["postgres"](tmp_path), engine)


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [
        ("silver.order", "silver/order/data"),
        ("source:shop.orders", "_assay/sources/shop.orders"),
        ("keys:silver.order.id", "_assay/keys/silver.order.id"),
        ("definitions:shop", "_assay/definitions/shop"),
        ("view:totals", "_assay/runs/12/totals"),
    ],
)
def test_every_kind_of_dataset_has_a_folder_in_which_its_files_are_known_by_their_run(
    dataset: str, folder: str
) -> None:
    assert layout.data_folder(dataset, 12) == folder
    assert layout.run_of(f"{folder}/{FILE}") == 12


@pytest.mark.parametrize("dataset", [dataset_of_rejects("silver.order"), "news:shop"])
def test_a_dataset_of_no_kind_that_is_kept_in_files_has_no_folder(dataset: str) -> None:
    with pytest.raises(ValueError, match=f"{dataset}: is of no kind that has a folder"):
        layout.data_folder(dataset, 12)


def define(place: Place, amount: int, folder: str) -> str:
    """Publish a view of a model, in a file of this folder, and return its path."""
    row = Definition("gold.total", "view", sql=f"select {amount} as amount").to_row()
    query = f"select '{row['dataset']}' as dataset, '{row['body']}' as body"
    columns = [(column.name, column.type) for column in STORED]
    handle = place.begin()
    manifest = place.draft(handle, DEFINITIONS, query, columns)
    (file,) = manifest.added
    path, root = f"{folder}/{Path(file.path).name}", Path(place.warehouse.root)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / file.path).rename(root / path)
    place.warehouse.record(handle, replace(manifest, added=(replace(file, path=path),)))
    place.publish(handle)
    return path


def test_definitions_that_an_older_version_kept_elsewhere_are_read_and_then_removed(place: Place, url: str) -> None:
    place.run(a="select 1 as id")
    old = define(place, 1, "definitions:shop//data")
    with psycopg.connect(url, autocommit=True) as server:
        assert server.execute("select amount from gold.total").fetchall() == [(1,)]
        shutil.rmtree(place.warehouse.root)
        assert place.warehouse.vacuum(Retention(1, 0), remove=True).removed
        ((_, body),) = place.rows(DEFINITIONS)
        assert (json.loads(body)["sql"], place.warehouse.verify().damaged) == ("select 1 as amount", ())
        new = define(place, 2, layout.data_folder(DEFINITIONS, 3))
        assert server.execute("select amount from gold.total").fetchall() == [(2,)]
        for amount in (3, 4):
            define(place, amount, layout.data_folder(DEFINITIONS, 3))
        assert place.warehouse.vacuum(Retention(1, 0), remove=True).removed
        kept = {path for (path,) in server.execute("select path from assay.assay_content").fetchall()}
    assert kept.isdisjoint({old, new})
    assert len([path for path in kept if path.startswith("_assay/definitions/shop/")]) == 2
    assert not (Path(place.warehouse.root) / old).exists()

"""What the shop's page tells is so: its list of checks, and the commands that it tells people to type."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks, commands
from tests.pipelines.shop.project import ROOT, Shop

pytestmark = pytest.mark.dbt

PAGE = (ROOT / "pipelines/shop/README.md").read_text()
LAYERS = ("raw", "staging", "intermediate", "marts")
COLUMNS = ("not_null", "unique", "relationships")


@pytest.mark.row("002-22")
def test_the_page_lists_every_check_of_every_layer(shop: Shop) -> None:
    assert shop.dbt("parse").code == 0
    lines = list(_lines(shop.manifest()))
    assert len(lines) == 15
    assert (
        "\n".join(["| layer | relation | not null | unique | leads to | others |", "|---|---|---|---|---|---|", *lines])
        in PAGE
    )


def _lines(manifest: dict[str, Any]) -> Iterator[str]:
    """Return the line of the page for each relation, layer by layer."""
    relations = manifest["nodes"] | manifest["sources"]
    found: dict[tuple[int, str], dict[str, set[str]]] = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test":
            # A test of a source is attached to nothing; the source that it is of is the last it names.
            of = relations[node["attached_node"] or _source(node)]
            kinds = found.setdefault((LAYERS.index(of["schema"]), of["name"]), {})
            kinds.setdefault(node["test_metadata"]["name"], set()).add(_about(node))
    for (layer, name), kinds in sorted(found.items()):
        named = [", ".join(sorted(kinds.pop(kind, ()))) for kind in COLUMNS]
        others = "; ".join(f"{kind}: {', '.join(sorted(columns))}" for kind, columns in sorted(kinds.items()))
        yield f"| {LAYERS[layer]} | {name} | {' | '.join(named)} | {others} |".replace("  ", " ")


def _source(node: dict[str, Any]) -> str:
    table = node["sources"][-1]
    return f"source.shop.{'.'.join(table)}"


def _about(node: dict[str, Any]) -> str:
    return str(node["column_name"] or " with ".join(node["test_metadata"]["kwargs"]["columns"]))


@pytest.mark.row("002-11")
def test_the_commands_of_the_page_run_over_a_shop_that_is_still_sold_in(postgres_url: str, tmp_path: Path) -> None:
    shop = Shop(postgres_url.replace("+psycopg", ""), tmp_path)
    (block,) = (block for block in blocks(PAGE) if block.language == "console")
    typed = [command for command, _ in commands(block.text)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # What dbt writes goes where the test may leave it.
    script = "\n".join(typed).replace("$PWD/build/shop", str(tmp_path))
    result = subprocess.run(
        ["sh", "-ec", script],
        cwd=ROOT,
        env=os.environ | shop.environment | {"PATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "made a shop of 5 customers, 10 products, 7 orders and 15 items\n" in result.stdout
    assert result.stdout.count("PASS=131 WARN=0 ERROR=0 SKIP=0") == 2
    sold = "select count(*), sum(quantity * unit_price) from raw.order_items"
    assert shop.rows("select count(*), sum(line_total) from marts.fct_sales") == shop.rows(sold)
    assert shop.rows("select count(*) from marts.fct_orders") == [(13,)]

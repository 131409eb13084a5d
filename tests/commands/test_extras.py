"""What a command says where the libraries of an extra are not installed: which extra brings them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ADDRESS = "postgresql://nobody@127.0.0.1/nothing"
PIPELINE = """
import assay

order = assay.relation("orders", columns={"id": "INTEGER"}, publish=True)
sources = assay.postgres("env:SHOP_URL", mode="full", tables={"bronze_order": order})
shop = assay.Pipeline("shop", tables=[], sources=sources)
"""
MISSING = {
    ("report",): ("The pages need", "report"),
    ("run", "shop:shop", "--warehouse", "lake"): ("Reading PostgreSQL needs", "postgres"),
    ("sync", ADDRESS, "--warehouse", "lake"): ("Reading PostgreSQL needs", "postgres"),
    ("history", "--warehouse", ADDRESS): ("A warehouse or catalog in PostgreSQL needs", "postgres"),
    ("deploy", "prefect"): ("Deploying to Prefect needs", "prefect"),
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has what assay needs, and none of its extras."""
    folder = tmp_path_factory.mktemp("libraries")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("starlette", "jinja2", "uvicorn", "psycopg", "pgpq", "prefect")):
            (folder / entry.name).symlink_to(entry)
    source = Path(__file__).parents[2] / "src"
    return {**os.environ, "PYTHONPATH": f"{source}:{folder}", "SHOP_URL": ADDRESS}


@pytest.mark.parametrize("arguments", MISSING, ids=lambda arguments: arguments[0])
def test_a_command_tells_which_extra_it_needs(arguments: tuple[str, ...], bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PIPELINE)
    code = "import sys; from assay.cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-S", "-c", code, *arguments]
    end = subprocess.run(command, cwd=tmp_path, env=bare, text=True, capture_output=True, check=False)
    what, extra = MISSING[arguments]
    assert (end.returncode, end.stderr) == (2, f"assay: {what} more libraries: pip install 'assay[{extra}]'.\n")
    assert not (tmp_path / "lake").exists()

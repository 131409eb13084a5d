"""The files of deploy/, read for the tests of them, and the programs that look at them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a document with what its anchors stand for."""
    return dict(yaml.safe_load(path.read_text()))


def scripts() -> list[Path]:
    """Return every shell script of the repository."""
    found = [*DEPLOY.rglob("*.sh"), *(ROOT / "tools").glob("*.sh"), ROOT / ".ci/run"]
    return sorted(path for path in found if "local" not in path.parts)

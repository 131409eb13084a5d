"""Checks that pyproject.toml, uv.lock and requirements.lock say the same; with --write, makes both locks anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

UV = Path(sys.executable).parent / "uv"
REQUIREMENTS = Path("requirements.lock")
HEADER = "# The environment of `make setup`, exported from uv.lock by `make lock`. Do not edit.\n"
EXPORT = ["export", "--frozen", "--offline", "--quiet", "--no-emit-project", "--group=dev", "--no-header"]
INDEX_VARIABLES = {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"}


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv without this machine's configuration, so that no mirror or folder of it can reach a lock."""
    environment = {name: value for name, value in os.environ.items() if name not in INDEX_VARIABLES}
    return subprocess.run([UV, "--no-config", *arguments], env=environment, text=True, capture_output=True, check=False)


def exported() -> str:
    """Return what requirements.lock should hold by uv.lock."""
    result = uv(*EXPORT)
    if result.returncode:
        sys.exit(result.stderr)
    return HEADER + result.stdout


def write() -> int:
    """Make uv.lock from pyproject.toml, and requirements.lock from uv.lock."""
    result = uv("lock")
    print(result.stderr, end="")
    if result.returncode == 0:
        REQUIREMENTS.write_text(exported())
    return result.returncode


def check() -> int:
    """Return 0 where both locks are current; needs no network."""
    if uv("lock", "--check", "--offline").returncode:
        print("uv.lock does not fit pyproject.toml: run `make lock`.", file=sys.stderr)
        return 1
    if REQUIREMENTS.read_text() != exported():
        print("requirements.lock does not fit uv.lock: run `make lock`.", file=sys.stderr)
        return 1
    print("The locks are current.")
    return 0


if __name__ == "__main__":
    sys.exit(write() if sys.argv[1:] == ["--write"] else check())

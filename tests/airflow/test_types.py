"""What assay calls of Airflow has the types that Airflow gives it: no other environment knows these."""

from __future__ import annotations

import subprocess
import sys

from tests.conformance.processes import ROOT


def test_the_package_fits_the_types_of_airflow() -> None:
    command = [sys.executable, "-m", "mypy", "src/assay/orchestrators/airflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

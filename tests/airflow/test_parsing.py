"""Parsing a DAG file costs little: it loads neither engine nor warehouse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conformance.processes import ROOT, environment

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
told = {"errors": bag.import_errors, "tasks": {name: len(dag.tasks) for name, dag in bag.dags.items()}}
told |= {"loaded": sorted(sys.modules)}
from airflow.serialization.serialized_objects import DagSerialization
stored = {name: DagSerialization.serialize_dag(dag) for name, dag in bag.dags.items()}
print(json.dumps({**told, "stored": json.dumps(stored, sort_keys=True, default=str)}), file=sys.stderr)
"""


def parsed(home: Path) -> dict[str, Any]:
    """Parse the DAG files of the project in a process of its own, started elsewhere."""
    command = [sys.executable, "-c", PARSE, str(ROOT / "pipelines")]
    variables = environment() | {"AIRFLOW_HOME": str(home), "SHOP_URL": "", "FLEET_URL": ""}
    done = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, check=False, timeout=120)
    told: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return told


def test_no_dag_file_of_the_project_loads_an_engine_or_a_warehouse(tmp_path: Path) -> None:
    told = parsed(tmp_path)
    assert told["errors"] == {}
    assert told["tasks"] == {"ride_bookings": 28, "shop": 9, "main_etl": 46}
    heavy = {"duckdb", "pyarrow", "pyiceberg", "psycopg", "pandas"}
    assert heavy & {name.partition(".")[0] for name in told["loaded"]} == set()
    assert not any(name.startswith("assay.warehouses") for name in told["loaded"])


def test_a_dag_is_the_same_whenever_it_is_parsed_so_that_airflow_makes_no_version_of_it(tmp_path: Path) -> None:
    assert parsed(tmp_path)["stored"] == parsed(tmp_path)["stored"]

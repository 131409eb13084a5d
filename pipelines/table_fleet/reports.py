"""What is told of the fleet after it was loaded: whether the target equals the source, and a written report."""

from pathlib import Path
from typing import Any

from assay import TaskRun, ask, connect, task
from pipelines.table_fleet.tables import TABLES, URL

_THERE = " union all ".join(
    f"(select '{name}', count(*), coalesce(sum(amount), 0)::text from fleet.{name})" for name in TABLES
)
_HERE = 'select table_name, "rows", coalesce(amount, 0)::varchar from gold.totals order by 1'


def folder_of(run: TaskRun) -> Path:
    """Return the folder of the reports: beside a warehouse that is a folder, else in build."""
    place = run.warehouse.removeprefix("postgresql:")
    return (Path("build/fleet") if place.startswith("//") else Path(place).parent) / "reports"


@task(retries=2, retry_seconds=1.0)
def target_equals_source(run: TaskRun) -> dict[str, Any]:
    """Every table has as many rows, of the same amount, as there are in the source."""
    here, there = _totals(run), sorted(ask(URL, _THERE))
    if differing := [one[0] for one, other in zip(here, there, strict=True) if one != other]:
        raise ValueError(f"not as in the source: {', '.join(differing)}")
    return {"tables": len(here), "rows": sum(count for _, count, _ in here)}


@task()
def report(run: TaskRun) -> dict[str, Any]:
    """Write what each table holds, for people."""
    path = folder_of(run) / f"{run.as_of}.md"
    lines = [f"| {name} | {count:,} | {amount} |" for name, count, amount in _totals(run)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join([f"# The fleet on {run.as_of}", "", "| table | rows | amount |", "|---|---|---|", *lines, ""])
    )
    return {"report": str(path)}


@task()
def reports_generated(run: TaskRun) -> dict[str, Any]:
    """Tell whether the report is there."""
    path = Path(run.returned["report"]["report"])
    return {"status": "final_etl_complete", "reports_generated": path.is_file() and path.stat().st_size > 0}


def _totals(run: TaskRun) -> list[tuple[str, int, str]]:
    with connect(run.warehouse) as target:
        return target.execute(_HERE).fetchall()

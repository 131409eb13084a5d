"""What a run did, as a table that Prefect shows beside the flow run."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from assay.model.run import RunResult

_LINES = ("returned", "rejected", "deduplicated", "written")


def show_ledger(result: RunResult) -> None:
    """Keep rows and ledger of each table of a run with its flow run."""
    rows = []
    for name, node in result.tables.items():
        told = node.to_json()
        read = sum(told["read"].values())
        ledger = {"read": read, "filtered": told["filtered"], **{line: told[line] for line in _LINES}}
        rows.append({"table": name, "status": node.status, "rows": node.rows, **ledger, "seconds": told["seconds"]})
    problems = "".join(f"\n- {problem}" for problem in result.problems)
    create_table_artifact(
        key=f"{result.pipeline.replace('_', '-')}-ledger",
        table=rows,
        description=f"Run {result.run} of {result.pipeline}, as of {result.as_of}: {result.state}{problems}",
    )

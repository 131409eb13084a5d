"""assay: medallion pipelines that prove themselves. The public names, loaded when first used."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "assay.model.database": ("postgres", "relation"),
    "assay.model.dbt": ("dbt",),
    "assay.model.errors": (
        "AssayError",
        "ConflictError",
        "DeclarationError",
        "LeaseError",
        "RunError",
        "SettingsError",
        "SourceError",
        "TableError",
        "UsageError",
        "WarehouseError",
    ),
    "assay.model.pipeline": ("Pipeline",),
    "assay.model.rows": ("free", "groups", "lookup", "same", "times"),
    "assay.model.rule": ("rule",),
    "assay.model.run": ("Run", "RunResult"),
    "assay.model.files": ("csv", "dataframe", "parquet"),
    "assay.model.table": ("Table", "View", "table", "view"),
    "assay.model.workflow": ("TaskRun", "Workflow", "part", "task"),
    "assay.model.outcome": ("WorkflowResult",),
    "assay.model.write": ("Append", "Merge", "Overwrite", "first_in_source", "latest"),
    "assay.migrating": ("migrate",),
    "assay.platform": ("connect", "history", "plan", "resume", "run", "undo", "vacuum", "verify"),
    "assay.mending": ("export", "replay"),
    "assay.queries": ("diff", "where"),
    "assay.phasing": ("plan_workflow", "resume_workflow", "run_workflow"),
    "assay.proving": ("prove",),
    "assay.quality.assess": ("Assessment", "assess"),
    "assay.quality.checks": (
        "accepted",
        "between",
        "complete",
        "fails_when",
        "flagged",
        "fresh_within",
        "has_type",
        "lengths",
        "matches",
        "not_null",
        "reconciles",
        "references",
        "row_count",
        "unique",
    ),
    "assay.settings": ("Settings",),
    "assay.sources.postgres.asking": ("ask",),
    "assay.syncing": ("sync",),
    "assay.validating": ("validate",),
    "assay.transform.dates": ("days_between", "month_of"),
    "assay.transform.drop": ("drop_where",),
    "assay.transform.origin": ("extracted_on", "partition_date", "position", "source_file", "stack"),
    "assay.transform.missing": ("fill_missing",),
    "assay.transform.outliers": ("with_outliers",),
    "assay.transform.parse": ("parsed",),
    "assay.transform.sql": ("sql",),
    "assay.transform.text": ("clean_email", "clean_text", "is_email", "person_name"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME_OF)

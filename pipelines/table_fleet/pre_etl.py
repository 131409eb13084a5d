"""What is looked at before anything is loaded: the source, as it is there, and the folder of the reports."""

from typing import Any

from assay import SourceError, TaskRun, ask, task
from pipelines.table_fleet.reports import folder_of
from pipelines.table_fleet.tables import COLUMNS, TABLES, URL

FRESH = "7 days"
"""The longest time since a row of a table was written."""

_WITHIN = {"within": FRESH}

_RELATIONS = [f"fleet.{name}" for name in TABLES]
_RIGHTS = "select t from unnest(%(tables)s::text[]) t where not has_table_privilege(t, 'select')"
_COLUMNS = """
select t || '.' || c from unnest(%(tables)s::text[]) t, unnest(%(columns)s::text[]) c
where not exists (select from information_schema.columns i where i.table_schema = 'fleet' and i.table_name = t
  and i.column_name = c)
order by 1
"""


@task(retries=2, retry_seconds=1.0)
def source_reachable() -> dict[str, Any]:
    """The database answers."""
    ((version,),) = ask(URL, "select current_setting('server_version')")
    return {"server": version}


@task()
def source_rights() -> dict[str, Any]:
    """Every table may be read."""
    _refuse("may not be read", ask(URL, _RIGHTS, {"tables": _RELATIONS}))
    return {"tables": len(_RELATIONS)}


@task()
def source_columns() -> dict[str, Any]:
    """Every table has the columns that are declared."""
    _refuse("is missing", ask(URL, _COLUMNS, {"tables": TABLES, "columns": list(COLUMNS)}))
    return {"columns": len(TABLES) * len(COLUMNS)}


@task()
def source_fresh() -> dict[str, Any]:
    """Every table that can be read now has rows of late; one that cannot is told, and left to the loading."""
    stale, unread = [], []
    for name in _RELATIONS:
        try:
            ((fresh,),) = ask(URL, f"select max(updated_at) >= now() - %(within)s::interval from {name}", _WITHIN)
        except SourceError:
            unread.append(name)
        else:
            stale += [] if fresh else [(name,)]
    _refuse(f"has no row of the last {FRESH}", stale)
    return {"fresh": len(_RELATIONS) - len(unread), "unread": unread}


@task()
def workspace(run: TaskRun) -> dict[str, Any]:
    """The folder of the reports is there, and can be written to."""
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    trial = folder / ".trial"
    trial.touch()
    trial.unlink()
    return {"folder": str(folder)}


@task()
def sources_validated(run: TaskRun) -> dict[str, Any]:
    """Tell that all was looked at, and what was found."""
    return {"status": "pre_etl_complete", "sources_validated": True, **run.returned}


def _refuse(what: str, found: list[tuple[Any, ...]]) -> None:
    """Fail where anything was found that should not be."""
    if found:
        raise ValueError(f"{found[0][0]} {what}" + (f", and {len(found) - 1} more" if len(found) > 1 else ""))

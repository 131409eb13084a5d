"""Where a DAG works: the settings of the folder in which its file is, and where it publishes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from assay import assembly
from assay.orchestrators.opening import check_password
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """What holds for all tasks of a DAG, in whatever folder their processes are started."""

    settings: Settings
    location: str | None
    """Of the warehouse, as it can be named from any folder; None for what the settings say."""
    database_pool: str | None = None
    """The pool of Airflow of which a step that reads a database takes a slot."""

    @property
    def folder(self) -> Path:
        """Where assay.toml is, from which paths count."""
        return Path(self.settings.folder)


def site_of(file: str, warehouse: str | Path | None, database_pool: str | None) -> Site:
    """Return the site of a DAG file; a warehouse that is a folder counts from that of assay.toml.

    Raises UsageError where the file would show a password.
    """
    folder = Path(file).resolve().parent
    settings = assembly.current_settings(folder=folder)
    if settings.folder == Settings().folder:
        # There is no assay.toml; and nobody knows in which folder Airflow starts a task.
        settings = replace(settings, folder=str(folder))
    if warehouse is None:
        return Site(settings, None, database_pool)
    check_password(str(warehouse))
    return Site(settings, assembly.located(replace(settings, warehouse=str(warehouse)), None), database_pool)

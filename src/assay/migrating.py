"""Bringing a database to what a pipeline needs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from assay import assembly, platform
from assay.assembly import Location
from assay.model.errors import UsageError
from assay.model.pipeline import Pipeline
from assay.runtime.planning.shape import shapes
from assay.runtime.tracing.trace import trace
from assay.settings import Settings


def migrate(
    pipeline: Pipeline | str,
    *,
    warehouse: Location | None = None,
    carry_out: bool = True,
    roles: bool = False,
    settings: Settings | None = None,
) -> list[str]:
    """Bring a database to what this version and the tables of a pipeline need, and return the statements.

    They are none where all is there, and in a lake. Behind them come those that people have written themselves: files
    *.sql in the folder that the setting `migrations` names, each carried out once, in the order of their names.

    With `carry_out` unset they are only returned; with `roles`, those that make roles with few rights are returned
    instead, and never carried out. Raises UsageError where a column would have to change to a type that cannot hold
    what it may have, or where a file was changed after it had been carried out.
    """
    settings = settings or assembly.current_settings()
    if not assembly.is_database(settings, warehouse):
        return []
    found, engine = platform.find(pipeline, settings), assembly.engine(settings, None)
    with closing(engine):
        wanted = shapes(found, trace(found, engine))
    stored = assembly.database(settings, warehouse)
    if roles:
        return stored.roles(wanted)
    own = assembly.scripts(_own(Path(settings.folder, settings.migrations)))
    return stored.migrate(wanted, own) if carry_out else stored.migrations(wanted, own)


def _own(folder: Path) -> dict[str, str]:
    """Return the statements that people have written, by the name of their file."""
    try:
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder}: cannot be read: {error}.") from None

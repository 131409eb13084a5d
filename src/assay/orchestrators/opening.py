"""What a process of an orchestrator opens for its part of a run: pipeline, warehouse and engine, from names alone."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, assert_never

from assay import assembly
from assay.loading import find_unit
from assay.model.errors import UsageError, near_miss
from assay.model.given import check_flags, listed
from assay.model.pipeline import Pipeline
from assay.model.run import RunOptions
from assay.model.secrets import address_without_secrets
from assay.model.workflow import Part, Task, Unit, Workflow
from assay.orchestrators.apart import Apart
from assay.settings import Settings

OPTIONS: Mapping[str, Any] = {
    "as_of": dt.date,
    "full": bool,
    "select": list[str],
    "layers": list[str],
    "month": str,
    "date": dt.date,
    "backfill": bool,
    "allow_duplicates": bool,
    "allow_empty": bool,
    "redo": bool,
}
"""What a run of a pipeline can be asked by an orchestrator's parameters, and of which type each is."""
PLACES: Mapping[str, Any] = {"warehouse": str, "sources": dict[str, str]}
"""Where it publishes, and what it reads instead of what is declared."""
_CHOICE = ("select", "layers")
"""What a part of a pipeline says itself."""
_OF_ANY = ("as_of", "full")
_MAIN = "__main__"


def unit_of(declared: Unit | str, settings: Settings | None = None) -> Unit:
    """Return what is declared, or what has that name: in assay.toml, or as "module:object"."""
    return find_unit(declared, settings or assembly.current_settings()) if isinstance(declared, str) else declared


def reference_to(unit: Unit) -> str | None:
    """Return how another process finds the same declaration: "module:object"; None where no module has it."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", _MAIN)
        if name == _MAIN:
            continue
        for attribute, value in list(vars(module).items()):
            if value is unit:
                return f"{name}:{attribute}"
    return None


def options_for(unit: Unit) -> dict[str, Any]:
    """Return what a run of this can be asked, and of which type each is: as embedded, so here."""
    match unit:
        case Pipeline():
            return dict(OPTIONS)
        case Part():
            return {name: kind for name, kind in OPTIONS.items() if name not in _CHOICE}
        case Workflow() | Task():
            return {name: OPTIONS[name] for name in _OF_ANY}
        case _:
            assert_never(unit)


def options_of(asked: Mapping[str, Any], today: dt.date, unit: Unit | None = None) -> RunOptions:
    """Return the options that an orchestrator's parameters stand for; those that are None were not asked for.

    Raises UsageError that names one which no run has, or none of this unit.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    known = OPTIONS if unit is None else options_for(unit)
    for name, value in given.items():
        if name not in known:
            what = "A run" if unit is None else f"A run of {unit.name}"
            raise UsageError(f"{what} has no parameter {name!r}.{near_miss(name, known)} It has: {', '.join(known)}.")
        if known[name] is bool:
            check_flags("A run", **{name: value})
    given |= {name: _date(name, given[name]) for name in ("as_of", "date") if name in given}
    given |= {name: listed("A run", name, given[name]) for name in ("select", "layers") if name in given}
    dated = "as_of" in given
    return RunOptions(**{"as_of": today, **given}, dated=dated)


def _date(name: str, value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"{name}: {value!r} is no date; write it as 2024-12-01.") from None


@dataclass
class _Shared:
    """What this thread, or the one that started it, has open, and where that is."""

    place: str
    apart: Apart | None
    """None once it is closed: contexts are copied, and copies outlive what they were made for."""


_shared: ContextVar[_Shared | None] = ContextVar("assay_parts", default=None)


def check_password(location: str | None) -> None:
    """Raise UsageError for an address with a password in it."""
    if location is not None and (shown := address_without_secrets(location)) != location:
        raise UsageError(
            f"{shown}: an orchestrator keeps its parameters where others read them. Leave the "
            "password to the variable ASSAY_WAREHOUSE, or to PostgreSQL's own password file."
        )


def check_passwords(sources: Any) -> None:
    """Raise UsageError for sources with an address that has a password in it."""
    for path in sources.values() if isinstance(sources, Mapping) else ():
        check_password(str(path))


@contextmanager
def parts(settings: Settings, location: str | None, *, attended: bool = False) -> Iterator[Apart]:
    """Open what does parts of runs; threads that are started within share it."""
    place = assembly.located(settings, location)
    check_password(location)
    known = _shared.get()
    if known is not None and known.place == place and known.apart is not None:
        yield known.apart
        return
    with closing(assembly.engine(settings, None)) as engine:
        apart = Apart(engine, assembly.warehouse(settings, location, create=True), settings, attended=attended)
        here = _Shared(place, apart)
        token = _shared.set(here)
        try:
            yield apart
        finally:
            _shared.reset(token)
            here.apart = None

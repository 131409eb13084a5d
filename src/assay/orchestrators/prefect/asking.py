"""The parameters of a flow: what can be asked of a run, as Prefect's form shows it."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from assay.model.workflow import Unit
from assay.orchestrators import opening

PLACES: Mapping[str, Any] = {name: kind | None for name, kind in opening.PLACES.items()}


def options_shown(unit: Unit) -> dict[str, Any]:
    """Return what a run of this can be asked, with its type; None is not to ask."""
    kinds = {**opening.options_for(unit)}
    return {name: (_Day if kind is dt.date else kind) | None for name, kind in kinds.items()}


def _no_number(value: Any) -> Any:
    """Refuse a number where a date is meant: it would count as seconds since 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().lstrip("-").isdigit()):
        raise ValueError(f"{value!r} is no date; write it as 2024-12-01")
    return value


_Day = Annotated[dt.date, BeforeValidator(_no_number)]


def asking(function: Callable[..., Any], known: Mapping[str, Any], description: str) -> Callable[..., Any]:
    """Give a function that takes any keywords those that are known, so that Prefect checks and shows them."""

    def asked(**given: Any) -> Any:
        return function(**given)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in known.items()
    ]
    vars(asked)["__signature__"] = inspect.Signature(parameters)
    asked.__doc__ = description
    return asked

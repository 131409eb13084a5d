"""The parameters of a flow: what can be asked of a run, as Prefect's form shows it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from assay.orchestrators import opening

OPTIONS: Mapping[str, Any] = {name: kind | None for name, kind in opening.OPTIONS.items()}
"""What a run of a pipeline can be asked; None is not to ask."""
PLACES: Mapping[str, Any] = {"warehouse": str | None, "sources": dict[str, str] | None}
"""Where it publishes and reads from instead."""


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

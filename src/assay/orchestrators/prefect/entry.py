"""Where workers find the flow of a deployment: by its name, as if it stood in this module."""

from __future__ import annotations

from typing import Any

from assay.orchestrators.prefect.flows import deployed_flow


def __getattr__(name: str) -> Any:
    """Return the flow of the deployment of that name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return deployed_flow(name)

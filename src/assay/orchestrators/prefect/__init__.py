"""Pipelines and workflows as flows of Prefect: `to_flow` makes one, `assay deploy prefect` puts them on a server."""

from assay.orchestrators.prefect.flows import to_flow
from assay.orchestrators.prefect.steps import Trying
from assay.orchestrators.prefect.submitting import (
    SubflowError,
    Submission,
    submit,
    trigger_multiple_subflows,
    trigger_subflow,
    wait_for_flow_runs,
)

__all__ = [
    "SubflowError",
    "Submission",
    "Trying",
    "submit",
    "to_flow",
    "trigger_multiple_subflows",
    "trigger_subflow",
    "wait_for_flow_runs",
]

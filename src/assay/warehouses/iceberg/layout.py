"""Where things lie in a lake's folder."""

from __future__ import annotations

import re

from assay.model.data import KEYS, SOURCE, TEMPORARY

OWN = "_assay"
"""What readers do not see: sources, key maps, quarantine, and the files of running runs."""
QUARANTINE = f"{OWN}/quarantine"


def data_folder(dataset: str, run: int) -> str:
    """Return the folder of a dataset's data files; a view's is of its run."""
    if dataset.startswith(TEMPORARY):
        return f"{run_folder(run)}/{_safe(dataset.removeprefix(TEMPORARY))}"
    if dataset.startswith(SOURCE):
        return f"{OWN}/sources/{_safe(dataset.removeprefix(SOURCE))}"
    if dataset.startswith(KEYS):
        return f"{OWN}/keys/{_safe(dataset.removeprefix(KEYS))}"
    return f"{table_folder(dataset)}/data"


def table_folder(dataset: str) -> str:
    """Return the folder of a table, which is its location for other programs."""
    namespace, _, table = dataset.partition(".")
    return f"{namespace}/{table}"


def run_folder(run: int) -> str:
    """Return the folder of the files that live as long as a run."""
    return f"{OWN}/runs/{run}"


def _safe(name: str) -> str:
    # Names are checked where they are declared; a folder must be safe even if that rule is ever widened, and columns
    # of a key may be called anything.
    return re.sub(r"[^a-z0-9_.]", "_", name).strip(".")

"""Where things lie in a lake's folder."""

from __future__ import annotations

import re
import uuid

from assay.model.data import DEFINITIONS, KEYS, SOURCE, TEMPORARY

OWN = "_assay"
"""What readers do not see: sources, key maps, definitions, quarantine, and the files of running runs."""
QUARANTINE = f"{OWN}/quarantine"
RUNS = f"{OWN}/runs"
READERS = f"{OWN}/readers"

_UUID = "[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_DATA = re.compile(rf"(?:.+/data|{OWN}/.+)/(?:tmp_)?(\d+)-[0-9-]+-[0-9a-f]{{8}}-{_UUID}\.parquet")
_DELIVERY = re.compile(rf"{OWN}/deliveries/[^/]+/.+-[0-9a-f]{{8}}-{_UUID}")
_METADATA = re.compile(rf".+/metadata/(?:.+-)?(\d{{8}})-{_UUID}(?:-m0\.avro|\.avro|\.metadata\.json)")


def data_folder(dataset: str, run: int) -> str:
    """Return the folder of a dataset's data files; a view's is of its run. ValueError where it is of no kind known."""
    if dataset.startswith(TEMPORARY):
        return f"{run_folder(run)}/{_safe(dataset.removeprefix(TEMPORARY))}"
    if dataset.startswith(SOURCE):
        return f"{OWN}/sources/{_safe(dataset.removeprefix(SOURCE))}"
    if dataset.startswith(KEYS):
        return f"{OWN}/keys/{_safe(dataset.removeprefix(KEYS))}"
    if dataset.startswith(DEFINITIONS):
        return f"{OWN}/definitions/{_safe(dataset.removeprefix(DEFINITIONS))}"
    if ":" in dataset.partition(".")[0]:
        raise ValueError(f"{dataset}: is of no kind that has a folder.")
    return f"{table_folder(dataset)}/data"


def delivery_path(dataset: str, name: str) -> str:
    """Return a new path for a file that a source reads from here, whatever the name of the delivery holds."""
    return f"{OWN}/deliveries/{_safe(dataset.removeprefix(SOURCE))}/{_safe(name.lower())[-100:]}-{uuid.uuid4()}"


def is_delivery(path: str) -> bool:
    """Return whether a file of the lake is one that a source has read from here."""
    return _DELIVERY.fullmatch(path) is not None


def table_folder(dataset: str) -> str:
    """Return the folder of a table, which is its location for other programs."""
    namespace, _, table = dataset.partition(".")
    return f"{namespace}/{table}"


def is_metadata(path: str) -> bool:
    """Return whether a file of the lake is what other programs read of a table's states."""
    return _METADATA.fullmatch(path) is not None


def run_folder(run: int) -> str:
    """Return the folder of the files that live as long as a run."""
    return f"{RUNS}/{run}"


def metadata_stamp(run: int) -> str:
    """Return a UUID that begins with the run's number, in decimal digits: other programs expect one in these names."""
    return str(uuid.UUID(f"{run % 10**8:08d}{uuid.uuid4().hex[8:]}"))


def run_of(path: str) -> int | None:
    """Return the run that wrote a file of the lake; None where it is none that assay writes.

    Files of data begin with their run, behind `tmp_` where the engine has not finished them.
    """
    found = _DATA.fullmatch(path) or _METADATA.fullmatch(path)
    return int(found[1]) if found else None


def _safe(name: str) -> str:
    # Names are checked where they are declared; a folder must be safe even if that rule is ever widened, and columns
    # of a key may be called anything.
    return re.sub(r"[^a-z0-9_.]", "_", name).strip(".")

"""Settings: one frozen record, read once from assay.toml and ASSAY_* variables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from assay.model.errors import SettingsError, near_miss

FILE = "assay.toml"
WhenBusy = Literal["wait", "stop"]
Log = Literal["auto", "lines", "json", "none"]
Warnings = Literal["allow", "block"]
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "warnings": get_args(Warnings),
    "when_busy": get_args(WhenBusy),
    "log": get_args(Log),
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set once for all runs; a command's options come before the environment, that before the file."""

    warehouse: str = "lake"
    """Folder of the lake."""
    catalog: str = ""
    """Database for the catalogs of new lakes, postgresql://..., so that machines can share them; none for a file."""
    workers: int = 0
    """Tables computed side by side; 0 for one a core."""
    retries: int = 2
    """How often a table is tried again after its first failure."""
    retry_seconds: float = 1.0
    """Seconds before a table is tried again."""
    memory_limit: str = "1GB"
    """Memory of the engine, beyond which it spills to disk."""
    rejected_share: float = 0.05
    """Share of rejected rows, 0 to 1, above which a table, or what is read of a source, blocks the publish."""
    warnings: Warnings = "allow"
    """Whether checks that warn let a run be published, or block it as those do that block."""
    when_busy: WhenBusy = "wait"
    """What a run does while another run of its pipeline is at work."""
    busy_seconds: float = 600.0
    """How long it waits."""
    lease_seconds: float = 60.0
    """How long a run that is not heard of holds its pipeline, where nobody can see that its process has ended."""
    log: Log = "auto"
    """What a command tells of a run on standard error: progress on a terminal and lines elsewhere, or one kind."""
    migrations: str = "migrations"
    """Folder of *.sql files that `assay migrate` carries out in a database, each once."""
    dbt: str = "dbt"
    """The program that builds the models of a pipeline's dbt project; a path counts from the folder of assay.toml."""
    keep_runs: int = 10
    """How many of the newest published runs a vacuum keeps, each with what stood before it."""
    keep_days: float = 7.0
    """For how many days a vacuum keeps what was published."""
    pipelines: Mapping[str, str] = field(default_factory=dict)
    """Short name -> "module:object"."""
    deployments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> what `assay deploy` puts on a server under that name; see how-to/prefect.md."""
    work_pool: str = "default-pool"
    """The pool of workers that deployments run on; those that wait for others run on this name with `-parents`."""
    database_limit: int = 3
    """How many tables of databases are read at once in one process; on Prefect, by how many steps of all workers."""
    folder: str = "."
    """Where assay.toml was found; pipelines are imported from here."""

    @property
    def worker_count(self) -> int:
        """The number of workers on this machine."""
        return self.workers or (os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) or 1

    @property
    def memory_bytes(self) -> int:
        """The memory limit as a number; raises ValueError where it is no size."""
        found = _SIZE.fullmatch(self.memory_limit)
        if found is None:
            raise ValueError(self.memory_limit)
        number, unit, binary = found.groups()
        return int(float(number) * (1024 if binary else 1000) ** (1 + "KMGT".index(unit.upper())))

    @property
    def patience(self) -> float:
        """For how many seconds to wait for another run."""
        return self.busy_seconds if self.when_busy == "wait" else 0.0


def load(environment: Mapping[str, str], start: Path) -> Settings:
    """Read the settings that hold in a folder: the nearest assay.toml upwards, then ASSAY_* variables.

    Raises SettingsError naming the file or variable and what it should hold.
    """
    values: dict[str, Any] = {}
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            values = _from_file(folder / FILE)
            values["folder"] = str(folder)
            break
    for name, text in environment.items():
        if name.startswith("ASSAY_"):
            values |= _from_variable(name, text)
    return Settings(**values)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    return {name: _typed(f"{path}: {name}", name, value) for name, value in document.items()}


def _from_variable(name: str, text: str) -> dict[str, Any]:
    key = name.removeprefix("ASSAY_").lower()
    if key not in _KINDS or key in _TABLES:
        # Others may keep variables of their own under this prefix; only ours are read.
        return {}
    return {key: _typed(name, key, text)}


_TABLES = ("pipelines", "deployments")
_KINDS: Mapping[str, str] = {f.name: str(f.type) for f in fields(Settings) if f.name != "folder"}


def _typed(place: str, name: str, value: Any) -> Any:
    kind = _KINDS.get(name)
    if kind is None:
        raise SettingsError(f"{place} is no setting of assay.{near_miss(name, _KINDS)}")
    try:
        read = _read(name, kind, value)
    except (TypeError, ValueError):
        raise SettingsError(f"{place} is {value!r}; it should be {_wanted(name, kind)}.") from None
    return read


def _read(name: str, kind: str, value: Any) -> Any:
    """Return a value in its setting's type; raises TypeError or ValueError where it is none of it."""
    if name in _TABLES:
        of = str if name == "pipelines" else dict
        if not isinstance(value, dict) or not all(isinstance(target, of) for target in value.values()):
            raise TypeError
        return dict(value)
    if kind in ("int", "float"):
        if isinstance(value, bool) or (kind == "int" and isinstance(value, float)):
            raise TypeError
        number = int(value) if kind == "int" else float(value)
        least, most = 1 if name == "database_limit" else 0, 1 if name == "rejected_share" else 1e12
        if not least <= number <= most:
            raise ValueError
        return number
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    if value not in _CHOICES.get(name, (value,)) or (name == "memory_limit" and not _SIZE.fullmatch(value)):
        raise ValueError
    return value


def _wanted(name: str, kind: str) -> str:
    if name in _CHOICES:
        *others, last = map(repr, _CHOICES[name])
        return f"{', '.join(others)} or {last}"
    named = {
        "rejected_share": "a share from 0 to 1",
        "memory_limit": "a size such as 1GB",
        "database_limit": "a whole number from 1",
        "pipelines": "a table of names",
        "deployments": "a table of tables",
    }
    kinds = {"int": "a whole number from 0", "float": "a number from 0", "str": "a text that is not empty"}
    return named.get(name) or kinds[kind]

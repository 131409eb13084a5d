"""A dbt project whose models a pipeline publishes together with its own tables, and each model as dbt declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Literal

from assay.model.data import dataset_of_table

DBT = "dbt"
"""The step of a run that has dbt build and test all models."""
ModelKind = Literal["view", "table", "incremental", "materialized view"]
"""What a model is in the database; `incremental` is a table that dbt changes rather than builds anew."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a dbt project."""

    unique_id: str
    """What dbt calls it."""
    selector: str
    """What it is selected by."""
    layer: str
    """Its schema."""
    entity: str
    """Its table or view there."""
    kind: ModelKind
    reads: tuple[str, ...]
    """The pipeline's tables that it is made of, also through other models."""
    fingerprint: str
    """Equal for equal code and configuration: its own, of what it reads among models, and of its tests."""
    key: tuple[str, ...] = ()
    """What tells its rows apart: its `unique_key`, or a column that is tested to be unique and not null."""
    partition_by: tuple[str, ...] = ()
    indexes: tuple[tuple[tuple[str, ...], bool], ...] = ()
    """The columns of each, and whether it is unique."""
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Privilege -> roles."""

    @property
    def name(self) -> str:
        """What it is called among the tables of the pipeline."""
        return f"{self.layer}_{self.entity}"

    @property
    def dataset(self) -> str:
        """Where it stands."""
        return dataset_of_table(self.layer, self.entity)

    @property
    def has_rows(self) -> bool:
        """Whether it holds rows of its own; a view shows those of others."""
        return self.kind in ("table", "incremental")


@dataclass(frozen=True, slots=True)
class DbtProject:
    """A folder with a dbt_project.yml; its models are known once it was read."""

    folder: str
    """Counts from the folder of assay.toml."""
    models: Mapping[str, Model] = field(default_factory=dict, hash=False)
    """By name, each after those that it reads."""
    fingerprint: str = ""
    """Of everything in it: code, configuration, tests."""
    tests: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What dbt calls a test -> the model that it is about; for all others, the step that builds."""
    content: str = ""
    """What tells the files of it, and what else it was parsed with, from any others."""

    @property
    def tables(self) -> dict[str, Model]:
        """The models that have rows of their own, by name."""
        return {name: model for name, model in self.models.items() if model.has_rows}


def dbt(folder: str | PathLike[str]) -> DbtProject:
    """Declare a dbt project, whose models a pipeline publishes: `Pipeline("shop", tables=[dbt("transform")], ...)`.

    Each run has dbt build its models, and test them, on the tables as they will stand, out of sight of readers; only if
    all tests pass are they published, with the tables, in one transaction. Its schemas are layers of the pipeline. The
    warehouse must be a database.
    """
    return DbtProject(fspath(folder))

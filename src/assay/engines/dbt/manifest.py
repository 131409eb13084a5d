"""The manifest that dbt writes of a project, as models that a pipeline can publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

from assay.model.data import name_of_table
from assay.model.dbt import DBT, DbtProject, Model, ModelKind
from assay.model.errors import DeclarationError

_KINDS: Mapping[str, ModelKind] = {
    "view": "view",
    "table": "table",
    "incremental": "incremental",
    "materialized_view": "materialized view",
    "seed": "table",
}
_CONFIG = ("materialized", "unique_key", "incremental_strategy", "on_schema_change", "indexes", "grants", "meta")
_HOOKS = ("pre-hook", "post-hook", "severity", "error_if", "warn_if", "where", "limit", "fail_calc")


def project_of(folder: str, manifest: Mapping[str, Any], datasets: Collection[str]) -> DbtProject:
    """Return a project as its manifest tells it; `datasets` are the tables of the pipeline.

    Raises DeclarationError for a model that cannot be published.
    """
    return _Manifest(folder, manifest, frozenset(datasets)).project()


class _Manifest:
    """A manifest, and what is asked of it."""

    def __init__(self, folder: str, body: Mapping[str, Any], datasets: frozenset[str]) -> None:
        self.folder, self.datasets = folder, datasets
        nodes = body["nodes"].items()
        self.nodes = {name: node for name, node in nodes if node["resource_type"] in ("model", "seed")}
        self.tests = {name: node for name, node in nodes if node["resource_type"] == "test"}
        self.sources, self.macros = body["sources"], body["macros"]
        if other := [name for name, node in nodes if node["resource_type"] == "snapshot"]:
            raise DeclarationError(f"{folder}: {other[0]} is a snapshot, which assay does not publish.")
        self.marks: dict[str, str] = {}

    def project(self) -> DbtProject:
        order = TopologicalSorter({name: self._upstream(name) for name in self.nodes}).static_order()
        models: dict[str, Model] = {}
        for name in order:
            self.marks[name] = self._mark(name)
            if self.nodes[name]["config"]["materialized"] == "ephemeral":
                continue
            model = self._model(name)
            if model.dataset in self.datasets or model.name in models:
                raise DeclarationError(f"{self.folder}: {name} would be {model.dataset}, and so is another table.")
            models[model.name] = model
        names = {model.unique_id: model.name for model in models.values()}
        tests = {name: names.get(node.get("attached_node") or "", DBT) for name, node in self.tests.items()}
        return DbtProject(self.folder, models, _digest([*self.marks.values(), *map(self._code, self.tests)]), tests)

    def _model(self, name: str) -> Model:
        node = self.nodes[name]
        config, place = node["config"], f"{self.folder}: {name}"
        kind = _KINDS.get(config["materialized"])
        if kind is None:
            raise DeclarationError(
                f"{place} is materialized as {config['materialized']!r}; assay publishes {', '.join(_KINDS)}."
            )
        asked = (config.get("meta") or {}).get("assay") or {}
        return Model(
            unique_id=name,
            layer=node["schema"],
            entity=node["alias"],
            kind=kind,
            reads=tuple(sorted(self._reads(name))),
            fingerprint=self.marks[name],
            key=self._key(name) if kind in ("table", "incremental") else (),
            partition_by=tuple(_listed(asked.get("partition_by"))),
            indexes=tuple(
                (tuple(index["columns"]), bool(index.get("unique"))) for index in config.get("indexes") or ()
            ),
            grants={privilege: tuple(_listed(roles)) for privilege, roles in (config.get("grants") or {}).items()},
        )

    def _upstream(self, name: str) -> list[str]:
        return [each for each in self._depends(self.nodes[name]) if each in self.nodes]

    def _reads(self, name: str) -> set[str]:
        """Return the pipeline's tables that a model is made of, also through other models."""
        found = {self._dataset(each) for each in self._depends(self.nodes[name]) if each in self.sources}
        mine = {name_of_table(dataset) for dataset in found & self.datasets}
        return mine.union(*(self._reads(each) for each in self._upstream(name)))

    def _dataset(self, source: str) -> str:
        return f"{self.sources[source]['schema']}.{self.sources[source]['identifier']}"

    def _key(self, name: str) -> tuple[str, ...]:
        if given := self.nodes[name]["config"].get("unique_key"):
            return tuple(_listed(given))
        tested: dict[str, set[str]] = {"unique": set(), "not_null": set()}
        for test in self.tests.values():
            about = test.get("test_metadata") or {}
            if (
                test.get("attached_node") == name
                and about.get("name") in tested
                and test["config"]["severity"] != "warn"
            ):
                tested[about["name"]].add(test.get("column_name") or "")
        both = tested["unique"] & tested["not_null"]
        # In the order of the model's own columns: which of several is chosen must not change by chance.
        return tuple(column for column in self.nodes[name]["columns"] if column in both)[:1]

    def _mark(self, name: str) -> str:
        about = [test for test, node in self.tests.items() if node.get("attached_node") == name]
        upstream = [self.marks[each] for each in self._upstream(name)]
        return _digest([self._code(name), *upstream, *map(self._code, sorted(about))])

    def _code(self, name: str) -> str:
        """Return what a model or test is: its code, its configuration, and the macros of the project that it calls."""
        node = self.nodes.get(name) or self.tests[name]
        config = {each: node["config"].get(each) for each in (*_CONFIG, *_HOOKS)}
        macros = sorted(self._macros(node))
        code = [node.get("raw_code"), node.get("test_metadata"), node["checksum"]["checksum"], node["schema"]]
        return _digest([name, code, config, [self.macros[each]["macro_sql"] for each in macros]])

    def _macros(self, node: Mapping[str, Any], known: frozenset[str] = frozenset()) -> set[str]:
        found: set[str] = set()
        for each in node["depends_on"].get("macros", ()):
            if each in self.macros and each not in known and not self.macros[each]["package_name"].startswith("dbt"):
                found |= {each} | self._macros(self.macros[each], known | {each})
        return found

    @staticmethod
    def _depends(node: Mapping[str, Any]) -> list[str]:
        return list(node["depends_on"].get("nodes", ()))


def _listed(value: Any) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value or ()


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()

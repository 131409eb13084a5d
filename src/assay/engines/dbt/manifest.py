"""The manifest that dbt writes of a project, as models that a pipeline can publish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from assay.engines.dbt.copying import MACROS
from assay.model.data import name_of_table
from assay.model.dbt import DBT, DbtProject, Model, ModelKind
from assay.model.errors import DeclarationError
from assay.model.workshop import NOBODYS

_KINDS: Mapping[str, ModelKind] = {
    "view": "view",
    "table": "table",
    "incremental": "incremental",
    "materialized_view": "materialized view",
    "seed": "table",
}
_LONGEST = 63
"""PostgreSQL keeps no more of a name."""
_TOLD = ("tags", "docs", "group", "access", "description")
"""What a configuration says to people, and changes nothing."""
_DBT = ("dbt", "dbt_postgres")
"""The packages of dbt itself, of which only another version has other macros."""
_VARIABLE = "var("
"""How a variable is asked for, be it of the project (`var`) or of the environment (`env_var`)."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """How a project was parsed, beside what its manifest tells."""

    surroundings: str
    """What tells the variables that it may ask for from any others."""
    content: str
    """What tells its content from any other."""


def project_of(folder: str, manifest: Mapping[str, Any], datasets: Collection[str], parsed: Parsed) -> DbtProject:
    """Return a project as its manifest tells it; `datasets` are the tables of the pipeline.

    Raises DeclarationError for a model that cannot be published.
    """
    return _Manifest(folder, manifest, frozenset(datasets), parsed).project()


class _Manifest:
    """A manifest, and what is asked of it."""

    def __init__(self, folder: str, body: Mapping[str, Any], datasets: frozenset[str], parsed: Parsed) -> None:
        self.folder, self.datasets, self.parsed = folder, datasets, parsed
        nodes = body["nodes"].items()
        self.nodes = {name: node for name, node in nodes if node["resource_type"] in ("model", "seed")}
        self.tests = {name: node for name, node in nodes if node["resource_type"] == "test"}
        self.tests |= body.get("unit_tests") or {}
        self.sources = body["sources"]
        self.macros = {name: macro for name, macro in body["macros"].items() if _is_told(macro)}
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
        tests = {name: names.get(self._about(name) or "", DBT) for name in self.tests}
        mark = _digest([*self.marks.values(), *map(self._code, self.tests)])
        return DbtProject(self.folder, models, mark, tests, self.parsed.content)

    def _model(self, name: str) -> Model:
        node = self.nodes[name]
        config, place = node["config"], f"{self.folder}: {name}"
        kind = _KINDS.get(config["materialized"])
        if kind is None:
            raise DeclarationError(
                f"{place} is materialized as {config['materialized']!r}; assay publishes {', '.join(_KINDS)}."
            )
        if not node["schema"].startswith(NOBODYS):
            raise DeclarationError(
                f"{place} stands in the schema {node['schema']}, into which something leads it that assay does not "
                "see; let its configuration name the schema."
            )
        if len(node["schema"]) > _LONGEST:
            raise DeclarationError(
                f"{place} stands in the schema {node['schema'].removeprefix(NOBODYS)}, whose name is too long: "
                f"{_LONGEST - len(NOBODYS)} letters are the most, since those of a run begin with {len(NOBODYS)} more."
            )
        if kind == "materialized view" and not any(index.get("unique") for index in config.get("indexes") or ()):
            raise DeclarationError(
                f"{place} is a materialized view without a unique index, which a publish needs to bring it up to date "
                "while others read it: indexes=[{'columns': ['id'], 'unique': true}]."
            )
        asked = (config.get("meta") or {}).get("assay") or {}
        return Model(
            unique_id=name,
            selector=".".join(node["fqn"]),
            layer=node["schema"].removeprefix(NOBODYS),
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
                self._about(test["unique_id"]) == name
                and about.get("name") in tested
                and test["config"]["severity"] != "warn"
            ):
                tested[about["name"]].add(test.get("column_name") or "")
        both = tested["unique"] & tested["not_null"]
        # In the order of the model's own columns: which of several is chosen must not change by chance.
        return tuple(column for column in self.nodes[name]["columns"] if column in both)[:1]

    def _mark(self, name: str) -> str:
        about = [test for test in self.tests if name in (self._about(test), *self._beside(test))]
        upstream = [self.marks[each] for each in self._upstream(name)]
        return _digest([self._code(name), *upstream, *map(self._code, sorted(about))])

    def _about(self, test: str) -> str | None:
        """Return the model that a test is about; one by hand may be about several, and is about none."""
        node = self.tests[test]
        return self._depends(node)[0] if node["resource_type"] == "unit_test" else node.get("attached_node")

    def _beside(self, test: str) -> list[str]:
        """Return the models of a test that is about none: it is run when one of them is built."""
        return [] if self._about(test) else self._depends(self.tests[test])

    def _code(self, name: str) -> str:
        """Return what a model or test is: its code, its configuration, the macros and variables that it asks for."""
        node = self.nodes.get(name) or self.tests[name]
        config = {each: value for each, value in node["config"].items() if each not in _TOLD}
        macros = [self.macros[each]["macro_sql"] for each in sorted(self._macros(node))]
        parts = ("raw_code", "test_metadata", "given", "expect", "overrides", "checksum", "schema", "alias")
        code = [name, {part: node.get(part) for part in parts}, config, macros]
        if any(_VARIABLE in text for text in (node.get("raw_code") or "", *macros)):
            code.append(self.parsed.surroundings)
        if node["resource_type"] == "seed" and node["checksum"]["name"] == "path":
            # A seed so large that dbt does not look at it.
            code.append(self.parsed.content)
        return _digest(code)

    def _macros(self, node: Mapping[str, Any], known: frozenset[str] = frozenset()) -> set[str]:
        found: set[str] = set()
        for each in node["depends_on"].get("macros", ()):
            if each in self.macros and each not in known:
                found |= {each} | self._macros(self.macros[each], known | {each})
        return found

    @staticmethod
    def _depends(node: Mapping[str, Any]) -> list[str]:
        return list(node["depends_on"].get("nodes", ()))


def _is_told(macro: Mapping[str, Any]) -> bool:
    """Return whether a macro is the project's, or of a package that it names."""
    return macro["package_name"] not in _DBT and not macro["original_file_path"].endswith(MACROS)


def _listed(value: Any) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value or ()


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()

"""A pipeline: its tables, views and sources, in order, under one name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from assay.model import graph
from assay.model.check import Reconciles, References
from assay.model.data import dataset_of_source, dataset_of_table
from assay.model.database import Database, PostgresTable
from assay.model.dbt import DBT, DbtProject, Model
from assay.model.errors import DeclarationError, near_miss
from assay.model.files import FileSource
from assay.model.given import listed, shown
from assay.model.rows import Groups, Lookup
from assay.model.rule import Rule
from assay.model.source import Source
from assay.model.table import RUN, Node, Table, View
from assay.model.write import Append, Merge

LAYERS = ("bronze", "silver", "gold")
_DATABASES = ("memory", "system", "temp")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, init=False)
class Pipeline:
    """A named set of tables and views over sources; told its tables, never by side effect of an import."""

    name: str
    nodes: Mapping[str, Node] = field(repr=False)
    """Tables and views by name, each after what it reads."""
    sources: Mapping[str, Source]
    layers: tuple[str, ...]
    sample: Callable[..., Mapping[str, Path]] | None = field(repr=False)
    rejected_share: float | None
    rules: tuple[Rule, ...] = field(repr=False)
    dbt: DbtProject | None

    def __init__(
        self,
        name: str,
        *,
        tables: Sequence[Node | ModuleType | DbtProject],
        sources: Mapping[str, Source],
        layers: Sequence[str] = LAYERS,
        sample: Callable[..., Mapping[str, Path]] | None = None,
        rejected_share: float | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        """Check the declaration and put the nodes in order.

        Args:
            name: lower case letters, digits and underscores.
            tables: the tables and views, in any order; a module stands for all that it has under a name of its own,
                but for names that begin with an underscore, a dbt project for its models.
            sources: parameter name -> source.
            layers: names of the layers, in the direction of the data.
            sample: `sample(folder, seed=, ...)` writes sample data and returns {source: path}.
            rejected_share: what share of rejected rows blocks its publish, in the place of the setting.
            rules: what must hold between its published tables; `assay validate` judges it.

        Raises:
            DeclarationError: names what is wrong, where, and the near miss.
        """
        tables, layers = _tables(name, tables), listed(f"Pipeline({shown(name)})", "layers", layers)
        _check_sources(f"Pipeline({shown(name)})", sources)
        nodes = graph.ordered(list(_told(tables)), sources.keys(), layers)
        _check_names(name, nodes, sources, layers)
        for attribute, value in (
            ("name", name),
            ("nodes", MappingProxyType(nodes)),
            ("sources", MappingProxyType(dict(sources))),
            ("layers", layers),
            ("sample", sample),
            ("rejected_share", rejected_share),
            ("rules", tuple(rules)),
            ("dbt", _project(name, tables)),
        ):
            object.__setattr__(self, attribute, value)
        _check(self)

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by name, each after what it reads."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, Table)}

    @property
    def views(self) -> dict[str, View]:
        """The views by name."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, View)}

    @property
    def files(self) -> dict[str, FileSource]:
        """The sources that are files, by name."""
        return {name: source for name, source in self.sources.items() if isinstance(source, FileSource)}

    @property
    def databases(self) -> dict[Database, dict[str, PostgresTable]]:
        """The sources that are tables of a database, by database and name."""
        found: dict[Database, dict[str, PostgresTable]] = {}
        for name, source in self.sources.items():
            if isinstance(source, PostgresTable):
                found.setdefault(source.database, {})[name] = source
        return found

    @property
    def models(self) -> Mapping[str, Model]:
        """The models of its dbt project by name, each after those it reads; none before that was read."""
        return self.dbt.models if self.dbt is not None else {}

    @property
    def published(self) -> tuple[str, ...]:
        """The names of all that readers find rows in: sources that are published, tables, models."""
        return (*self.mirrors, *self.tables, *(name for name, model in self.models.items() if model.has_rows))

    def dataset_of(self, name: str) -> str:
        """Return where a table, model or source is stored; a source that is published stands among the tables."""
        if name in self.models:
            return self.models[name].dataset
        if name not in self.sources:
            return dataset_of_table(self.tables[name].layer, self.tables[name].entity)
        layer, _, entity = name.partition("_")
        return dataset_of_table(layer, entity) if name in self.mirrors else dataset_of_source(self.name, name)

    @property
    def mirrors(self) -> dict[str, PostgresTable]:
        """The sources that readers see as tables, by name."""
        return {name: each for tables in self.databases.values() for name, each in tables.items() if each.publish}

    def together(self, name: str) -> tuple[str, ...]:
        """Return what is done at once with a step: sources of one snapshot, models of one project; it may be alone."""
        if name in self.models or (name == DBT and self.models):
            return (DBT, *self.models)
        for database, tables in self.databases.items():
            if database.together and name in tables:
                return tuple(tables)
        return (name,)

    def reads_of(self, name: str) -> tuple[str, ...]:
        """Return the steps of a run that must have ended before one of its tables, views or models."""
        if name in self.models:
            return (DBT,)
        if name == DBT and self.models:
            return tuple(sorted({read for model in self.models.values() for read in model.reads}))
        return self.nodes[name].upstream if name in self.nodes else ()

    def building(self, project: DbtProject) -> Pipeline:
        """Return the pipeline with its dbt project as it was read; raises DeclarationError for a model of no layer."""
        for name in project.models:
            graph.check_layer(name, self.layers)
        return self._with(dbt=project)

    def reading(self, paths: Mapping[str, str | PathLike[str]]) -> Pipeline:
        """Return the pipeline with some sources read from other paths."""
        for name in paths:
            if name not in self.sources:
                raise DeclarationError(
                    f"{self.name} has no source {name!r}.{near_miss(name, self.sources)} "
                    f"Its sources: {', '.join(self.sources) or 'none'}."
                )
        return self.with_sources({name: self.sources[name].at(fspath(path)) for name, path in paths.items()})

    def with_sources(self, sources: Mapping[str, Source]) -> Pipeline:
        """Return the pipeline with others in the place of some of its sources; they have the same columns."""
        return self._with(sources=MappingProxyType({**self.sources, **sources}))

    def allowing(self, rejected_share: float) -> Pipeline:
        """Return the pipeline with another share of rejected rows that blocks its publish."""
        return self._with(rejected_share=rejected_share)

    def _with(self, **changes: Any) -> Pipeline:
        copy = object.__new__(Pipeline)
        for attribute, value in {**self.__dict__, **changes}.items():
            object.__setattr__(copy, attribute, value)
        return copy


def made_of(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Return what each published source, table, view and model reads, by name, each after what it reads."""
    nodes = {name: node.upstream for name, node in pipeline.nodes.items()}
    return dict.fromkeys(pipeline.mirrors, ()) | nodes | {name: model.reads for name, model in pipeline.models.items()}


def _tables(name: str, tables: Any) -> tuple[Node | ModuleType | DbtProject, ...]:
    """Return what a pipeline is told of; raises DeclarationError for one thing alone, which is no list of them."""
    if isinstance(tables, str | Mapping) or not isinstance(tables, Iterable):
        raise DeclarationError(
            f"Pipeline({shown(name)}): tables= is a list: write tables=[bronze_order, ...], not {shown(tables)}."
        )
    return tuple(tables)


def _check_sources(place: str, sources: Any) -> None:
    if not isinstance(sources, Mapping):
        raise DeclarationError(
            f"{place}: sources= maps names to sources: write sources={{'orders': csv(...)}}, not {shown(sources)}."
        )
    for name, source in sources.items():
        if not isinstance(source, FileSource | PostgresTable):
            raise DeclarationError(
                f"{place}: source {shown(name)} is a csv(...), parquet(...), dataframe(...) or table of postgres(...), "
                f"not {shown(source)}."
            )


def _project(name: str, tables: Sequence[Node | ModuleType | DbtProject]) -> DbtProject | None:
    found = [told for told in tables if isinstance(told, DbtProject)]
    if len(found) > 1:
        raise DeclarationError(f"{name} has two dbt projects: {found[0].folder} and {found[1].folder}; make them one.")
    return found[0] if found else None


def _told(tables: Sequence[Node | ModuleType | DbtProject]) -> Iterator[Node]:
    """Yield the tables and views that a pipeline is told; one that several modules know by import counts once."""
    known: set[int] = set()
    for told in tables:
        if isinstance(told, DbtProject):
            continue
        if not isinstance(told, ModuleType):
            yield told
            continue
        found = [node for name, node in vars(told).items() if isinstance(node, Node) and not name.startswith("_")]
        if not found:
            raise DeclarationError(f"The module {told.__name__} has no table: write @table(...) above its functions.")
        for node in found:
            if id(node) not in known:
                known.add(id(node))
                yield node


def _check_names(name: Any, nodes: Collection[str], sources: Mapping[Any, Source], layers: Sequence[str]) -> None:
    """Check names, which become folders, parts of SQL and words on the command line."""
    for text in (name, *nodes, *sources, *layers):
        if not isinstance(text, str) or not _NAME.fullmatch(text):
            raise DeclarationError(f"{shown(text)} is no name: use lower case letters, digits and underscores.")
    if RUN in sources:
        raise DeclarationError(f"A source cannot be named {RUN!r}: that parameter gives the run's own facts.")
    for layer in layers:
        if "_" in layer or layer == "meta":
            raise DeclarationError(
                f"{layer!r} is no layer: a layer's name has no underscore, and 'meta' is where readers find the runs."
            )
        if layer in _DATABASES:
            raise DeclarationError(f"{layer!r} is no layer: {layer}.x would be a table of the engine's own database.")


def _check(pipeline: Pipeline) -> None:
    for mirror in pipeline.mirrors:
        graph.check_layer(mirror, pipeline.layers)
    if pipeline.dbt is not None and DBT in (*pipeline.nodes, *pipeline.sources):
        raise DeclarationError(f"{pipeline.name}: {DBT!r} is the step that builds its models; rename the other.")
    for node in pipeline.nodes.values():
        _check_grain(node)
    for table in pipeline.tables.values():
        _check_table(table, pipeline)


def _check_grain(node: Node) -> None:
    match node.rows:
        case Lookup(inputs=joined) | Groups(lookup=joined):
            for name in joined:
                if name not in node.upstream:
                    raise DeclarationError(
                        f"{node.name}: {name!r} is looked up in, but not read.{near_miss(name, node.upstream)}"
                    )
    if isinstance(node.rows, Groups) and len(set(node.upstream) - set(node.rows.lookup)) != 1:
        raise DeclarationError(f"{node.name}: groups() counts the rows of one input; name the others in lookup=(...).")


def _check_table(table: Table, pipeline: Pipeline) -> None:
    """Check one table's declaration as far as that needs no schema."""
    if table.keep and not table.key:
        raise DeclarationError(f"{table.name}: keep= chooses between rows of one key, so it needs key=.")
    if isinstance(table.write, Merge) and not table.key:
        raise DeclarationError(f"{table.name}: Merge() updates by key, so it needs key=.")
    if table.write.stamps and not table.key:
        raise DeclarationError(f"{table.name}: stamps follow a row by its key, so they need key=.")
    if isinstance(table.write, Append) and table.write.stamps:
        raise DeclarationError(f"{table.name}: appended rows are not updated; leave stamps out.")
    for check in table.checks:
        if isinstance(check, References | Reconciles) and check.other not in pipeline.tables:
            raise DeclarationError(
                f"{table.name}: check {check.name!r} looks at {check.other!r}, which is no table of this "
                f"pipeline.{near_miss(check.other, pipeline.tables)}"
            )

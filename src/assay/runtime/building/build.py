"""Building: dbt builds and tests models on the tables as they will stand; what it has built is staged as tables are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.engines.dbt.program import Program, last_lines
from assay.engines.dbt.project import opened
from assay.engines.dbt.results import Built, read_built
from assay.model.data import dataset_of_definitions
from assay.model.dbt import DBT, DbtProject, Model
from assay.model.errors import TableError
from assay.model.run import NodeRun
from assay.model.workshop import Stood, Workspace
from assay.runtime.building.models import results_of, stage_models
from assay.runtime.planning.modelling import cache_of
from assay.runtime.work import Work, would_be

_LOST = ("server closed the connection", "connection refused", "terminating connection", "database system is")


def build(work: Work, attempt: int) -> NodeRun:
    """Have dbt build the models that must be built, and test them; stage them if all is well.

    Returns the record of the step, with those of the models along.
    """
    project, workshop = work.pipeline.dbt, work.warehouse.workshop
    assert project is not None, "a plan has this step only where there is a project"
    assert workshop is not None, "and that is refused by a lake"
    inputs = {name: _inputs(work, model) for name, model in project.tables.items()}
    chosen = [name for name in inputs if _must_be_built(work, name, inputs[name])]
    base = work.plan.state.versions.get(dataset_of_definitions(work.pipeline.name))
    if not chosen and base is not None and base.fingerprint == project.fingerprint:
        return _nothing_built(work, project)
    datasets = [work.dataset(name) for name in (*work.pipeline.mirrors, *work.pipeline.tables)]
    shown, copied = _shown(work, project, chosen), _copied(work, project, chosen)
    layers = {model.layer for model in project.models.values()} | {dataset.partition(".")[0] for dataset in shown}
    with (
        opened(project, datasets, work.settings, cache_of(work.warehouse), work.engine.room) as program,
        workshop.opened(work.handle, sorted(layers), shown, copied) as space,
        work.engine.stopping(program.stop),
    ):
        built = _call(work, program, space, _selection(project, chosen))
        results = results_of(work, project, built)
        if not results.failed:
            results = stage_models(work, space, results, inputs, chosen, attempt)
    along = tuple(results.nodes[name] for name in project.models)
    reason = work.plan.steps[DBT].reason
    error = "; ".join(results.failed) or None
    return NodeRun(DBT, "failed" if error else "computed", reason, verdicts=results.verdicts, error=error, along=along)


def _inputs(work: Work, model: Model) -> dict[str, int]:
    """Return the version of each table that a model is made of, as it will stand."""
    found: dict[str, int] = {}
    for name in model.reads:
        if (data := would_be(work, name)) is None:
            raise TableError(f"{model.name} reads {name}, which is not there.")
        found |= data.versions
    return found


def _must_be_built(work: Work, name: str, inputs: Mapping[str, int]) -> bool:
    base = work.base(name)
    return base is None or work.plan.steps[name].action == "run" or dict(base.inputs) != inputs


def _nothing_built(work: Work, project: DbtProject) -> NodeRun:
    why = "what it reads turned out unchanged"
    nodes = [_unchanged(work, model, why) for model in project.models.values()]
    return NodeRun(DBT, "unchanged", why, along=tuple(nodes))


def _unchanged(work: Work, model: Model, why: str) -> NodeRun:
    base = work.base(model.name) if model.has_rows else None
    return NodeRun(model.name, "unchanged", why, base.rows if base else None, attempts=0)


def _shown(work: Work, project: DbtProject, chosen: Sequence[str]) -> dict[str, Stood]:
    """Return the tables that models read as they will stand: those of the pipeline, and models that stay."""
    found = {}
    for name in sorted({read for model in project.models.values() for read in model.reads}):
        dataset = work.dataset(name)
        data = would_be(work, name)
        manifest = work.warehouse.manifests(work.handle.id, [dataset]).get(dataset)
        columns = tuple(column.name for column in data.schema if not column.is_system) if data else ()
        moved = manifest is not None and manifest.changed
        news = (manifest.removed, manifest.added, manifest.key) if manifest and moved else ()
        found[dataset] = Stood(columns, *news)
    for name, model in project.tables.items():
        if name not in chosen:
            found[model.dataset] = _published(work, model)
    return found


def _copied(work: Work, project: DbtProject, chosen: Sequence[str]) -> dict[str, Stood]:
    """Return the models that dbt changes rather than builds anew, as they are published."""
    changed = [model for name, model in project.tables.items() if name in chosen and model.kind == "incremental"]
    known = [model for model in changed if work.base(model.name) is not None and not work.plan.options.full]
    return {model.dataset: _published(work, model) for model in known}


def _published(work: Work, model: Model) -> Stood:
    base = work.base(model.name)
    assert base is not None, "it has been published"
    return Stood(tuple(column.name for column in base.schema if not column.is_system), key=model.key)


def _selection(project: DbtProject, chosen: Sequence[str]) -> list[str]:
    """Return what dbt is told to build: views show others' rows, so all of them; and of the tables those that must."""
    if set(chosen) == set(project.tables):
        return []
    models = [model for name, model in project.models.items() if name in chosen or not model.has_rows]
    return ["--select", "source:*", *(model.selector for model in models)]


def _call(work: Work, program: Program, space: Workspace, selection: Sequence[str]) -> Built:
    full = ["--full-refresh"] if work.plan.options.full else []
    code, said = program.call("build", *full, *selection, prefix=space.prefix, url=space.url)
    built = read_built(program.target)
    if built is None or (code and all(result.went_well for result in built.results.values())):
        kind = ConnectionError if _is_lost(said) else TableError
        raise kind(f"dbt ended with code {code}: {last_lines(said)}")
    for name, result in built.results.items():
        if not result.went_well and _is_lost(result.message):
            # Not what was asked is wrong: it can be asked again.
            raise ConnectionError(f"{name}: {result.message}")
    return built


def _is_lost(said: str) -> bool:
    return any(words in said.lower() for words in _LOST)

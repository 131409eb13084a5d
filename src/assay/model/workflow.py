"""A workflow: phases, one after the other, each of pipelines, tasks and other workflows side by side."""

from __future__ import annotations

import datetime as dt
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, assert_never

from assay.model.errors import DeclarationError, near_miss
from assay.model.given import listed, name_of, shown
from assay.model.pipeline import Pipeline
from assay.model.selection import Selection

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RUN = "run"

UnitKind = Literal["pipeline", "task", "workflow"]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What a task may know of its run, by a parameter `run`."""

    workflow: str
    as_of: dt.date
    """The run's own date."""
    warehouse: str
    """Where the workflow's pipelines publish, for `assay.connect(run.warehouse)` and others."""
    returned: Mapping[str, Any]
    """What the tasks of earlier phases of this workflow returned, by name."""


@dataclass(frozen=True, eq=False)
class Task:
    """A plain function as a step of a workflow; what it returns is told in the result."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    retries: int = 0
    retry_seconds: float = 0.0

    def __call__(self, *given: Any) -> Any:
        """Call the function, as a unit test does."""
        return self.function(*given)

    @property
    def wants_run(self) -> bool:
        """Whether the function takes the facts of its run."""
        return _RUN in inspect.signature(self.function).parameters


@dataclass(frozen=True, eq=False)
class Part:
    """Some layers or tables of a pipeline, as a step of a workflow: a run of its own."""

    name: str
    pipeline: Pipeline
    layers: tuple[str, ...] = ()
    select: tuple[str, ...] = ()


def task(function: None = None, /, *, retries: int = 0, retry_seconds: float = 1.0) -> Callable[[Any], Task]:
    """Make a function a task named after it; it fails by raising, and may take `run`, a TaskRun.

    Args:
        retries: how often it is tried again after its first failure.
        retry_seconds: how long to wait before it is tried again.
    """
    if function is not None:
        raise DeclarationError("Write @task() with its parentheses.")

    def declare(function: Callable[..., Any]) -> Task:
        name = name_of(function, "task")
        if unknown := [each for each in inspect.signature(function).parameters if each != _RUN]:
            raise DeclarationError(
                f"{name}: a task has one parameter, {_RUN!r}, or none; it knows no {unknown[0]!r}. What earlier tasks "
                f"returned is in {_RUN}.returned."
            )
        if retries < 0 or retry_seconds < 0:
            raise DeclarationError(f"{name}: retries= and retry_seconds= are 0 or more.")
        return Task(name, function, retries, retry_seconds)

    return declare


def part(name: str, pipeline: Pipeline, *, layers: Sequence[str] = (), select: Sequence[str] = ()) -> Part:
    """Give some layers or tables of a pipeline a name of their own in a workflow, as `--layer` and `--select` do."""
    layers, select = listed(f"part({name!r})", "layers", layers), listed(f"part({name!r})", "select", select)
    if not layers and not select:
        raise DeclarationError(f"part({name!r}) chooses nothing: give layers= or select=, or just the pipeline itself.")
    for layer in layers:
        if layer not in pipeline.layers:
            raise DeclarationError(
                f"part({name!r}): {pipeline.name} has no layer {layer!r}.{near_miss(layer, pipeline.layers)}"
            )
    known = (*pipeline.nodes, *pipeline.mirrors)
    for chosen in select:
        asked = Selection.of(chosen).name
        if asked not in known:
            raise DeclarationError(f"part({name!r}): {pipeline.name} has no table {chosen!r}.{near_miss(asked, known)}")
    return Part(name, pipeline, layers, select)


@dataclass(frozen=True, init=False, eq=False)
class Workflow:
    """Named phases in order; what stands in one runs side by side, and the next begins when all have ended well.

    A pipeline publishes when it ends, so that later phases read what it published.
    """

    name: str
    phases: Mapping[str, tuple[Unit, ...]] = field(repr=False)

    def __init__(self, name: str, *, phases: Mapping[str, Sequence[Unit]]) -> None:
        """Check the declaration.

        Args:
            name: lower case letters, digits and underscores.
            phases: name -> pipelines, parts of pipelines, tasks and workflows.

        Raises DeclarationError that names what is wrong, and where.
        """
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "phases", MappingProxyType(_phases(name, phases)))
        _check(self)

    @property
    def units(self) -> dict[str, Unit]:
        """What the phases hold, by name, in order."""
        return {unit.name: unit for units in self.phases.values() for unit in units}

    @property
    def shape(self) -> dict[str, list[str]]:
        """The names of what each phase holds, as a run records them."""
        return {phase: [unit.name for unit in units] for phase, units in self.phases.items()}


Unit = Pipeline | Part | Task | Workflow
"""What can stand in a phase."""


def pipeline_of(unit: Pipeline | Part) -> Pipeline:
    """Return the pipeline that a step runs, or of which it runs a part."""
    return unit.pipeline if isinstance(unit, Part) else unit


def kind_of(unit: Unit) -> UnitKind:
    """Return what kind of step a unit is."""
    match unit:
        case Pipeline() | Part():
            return "pipeline"
        case Task():
            return "task"
        case Workflow():
            return "workflow"
        case _:
            assert_never(unit)


def _phases(name: str, phases: Any) -> dict[str, tuple[Unit, ...]]:
    """Return the phases; raises DeclarationError where one is no list, or they are no mapping."""
    lists = isinstance(phases, Mapping) and all(isinstance(each, Sequence) for each in phases.values())
    if not lists:
        raise DeclarationError(f"{name}: phases= maps names to lists: write phases={{'load': [orders, ...]}}.")
    return {phase: tuple(each) for phase, each in phases.items()}


def _check(workflow: Workflow) -> None:
    if not workflow.phases:
        raise DeclarationError(f"The workflow {workflow.name} has no phase.")
    for phase, units in workflow.phases.items():
        if not units:
            raise DeclarationError(f"{workflow.name}: the phase {phase!r} has nothing to do.")
        for unit in units:
            if not isinstance(unit, Unit):
                raise DeclarationError(
                    f"{workflow.name}: {shown(unit)} in phase {phase!r} is no pipeline, part, task or workflow; write "
                    "@task() above a function."
                )
    for name in (workflow.name, *workflow.phases, *(unit.name for unit in _all(workflow))):
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"{name!r} is no name: use lower case letters, digits and underscores.")
    _check_names(workflow)
    for phase, units in workflow.phases.items():
        _check_apart(workflow.name, phase, units)


def _all(workflow: Workflow) -> Iterator[Unit]:
    """Yield all that a workflow holds, and what the workflows in it hold."""
    for units in workflow.phases.values():
        for unit in units:
            yield unit
            if isinstance(unit, Workflow):
                yield from _all(unit)


def _check_names(workflow: Workflow) -> None:
    """Check that a name stands for one thing: runs are recorded by it."""
    known: dict[str, Unit] = {workflow.name: workflow}
    for unit in _all(workflow):
        if unit.name in known:
            what = "is in it twice" if known[unit.name] is unit else "is the name of two things in it"
            raise DeclarationError(
                f"The workflow {workflow.name}: {unit.name!r} {what}; part(...) and @task() name more."
            )
        known[unit.name] = unit
    for pipeline in _pipelines(workflow):
        if known.get(pipeline.name, pipeline) is not pipeline:
            raise DeclarationError(
                f"The workflow {workflow.name}: {pipeline.name!r} is the name of a pipeline in it, and of something "
                "else; runs are recorded by it. Name that otherwise."
            )


def _check_apart(workflow: str, phase: str, units: Sequence[Unit]) -> None:
    """Check that no pipeline runs twice at once: the second run would wait for the first."""
    seen: dict[str, str] = {}
    for unit in units:
        for pipeline in {each.name for each in _pipelines(unit)}:
            if pipeline in seen:
                raise DeclarationError(
                    f"{workflow}: {seen[pipeline]} and {unit.name} in phase {phase!r} both run the pipeline "
                    f"{pipeline}, of which one run is made at a time; put them in two phases."
                )
            seen[pipeline] = unit.name


def _pipelines(unit: Unit) -> Iterator[Pipeline]:
    match unit:
        case Pipeline():
            yield unit
        case Part(pipeline=pipeline):
            yield pipeline
        case Workflow():
            for each in _all(unit):
                yield from _pipelines(each) if not isinstance(each, Workflow) else ()
        case Task():
            return

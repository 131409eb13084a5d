"""The tasks and groups of a DAG that stand for a pipeline: a group a layer, a task a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import cleandoc
from typing import Any, NamedTuple

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import TaskGroup

from assay.model.dbt import DBT
from assay.model.pipeline import Pipeline
from assay.orchestrators.airflow.pipelines import PipelineTasks
from assay.orchestrators.airflow.workflows import WorkflowTasks
from assay.orchestrators.outline import DATABASE, Stage, outline, outline_of


class Ends(NamedTuple):
    """Where what stands for something in a DAG begins and ends."""

    first: Any
    last: Any


def add_pipeline(doing: PipelineTasks, trigger_rule: str = "all_success") -> Ends:
    """Add the tasks of a pipeline to the DAG or group that is open: `begin`, its steps, `publish`, and who tells of it.

    `begin` sets up what `publish` tears down: that runs however the steps end, and both are cleared with any of them.
    """
    stages = outline(doing.pipeline) if doing.chosen is None else outline_of(doing.pipeline, doing.chosen)
    begin = task_of(doing, "begin", doing.begin, trigger_rule=trigger_rule)
    publish = task_of(doing, "publish", doing.publish, **quiet(doing.within is not None))
    for task in _steps(doing, stages):
        if not task.upstream_list:
            begin >> task
        # Each of them: one that cannot run any more has ended before others that are at work.
        task >> publish
    publish.as_teardown(setups=begin, on_failure_fail_dagrun=True)
    for layer in _layers(doing.pipeline, stages):
        # Before these as tasks like any other, a failed `publish` would not make the DAG run fail in every case.
        publish >> _telling(doing, layer).as_teardown(setups=begin)
    return Ends(begin, publish)


def task_of(doing: PipelineTasks | WorkflowTasks, name: str, does: Callable[..., Any], **more: Any) -> Any:
    """Add a task; people see the last part of its name."""
    return PythonOperator(
        task_id=f"{doing.prefix}{name}", task_display_name=name, python_callable=as_function(does), **more
    )


def as_function(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method as a function: Airflow copies DAGs, and with a method what it belongs to."""

    @wraps(method)
    def called(*given: Any, **context: Any) -> Any:
        return method(*given, **context)

    return called


def group_of(name: str, *, of: str = "") -> Any:
    """Add a group, of something with a name that all of a DAG know; people see its own."""
    # Airflow allows a point in the name of a task, and none in that of a group.
    return TaskGroup(f"{of}__{name}" if of else name, prefix_group_id=False, group_display_name=name)


def quiet(is_told_elsewhere: bool) -> dict[str, Any]:
    """Return what keeps a task from sending a mail of what another task says, too."""
    return {"on_failure_callback": None} if is_told_elsewhere else {}


def _steps(doing: PipelineTasks, stages: Sequence[Stage]) -> list[Any]:
    """Add a task for each step; those before a dbt project stand in a group of their own."""
    if all(stage.step != DBT for stage in stages):
        return list(_tables(doing, stages).values())
    with group_of("extract_load", of=doing.prefix.rstrip(".")):
        loads = list(_tables(doing, [stage for stage in stages if stage.step != DBT]).values())
    runs = task_of(doing, "dbt_run", doing.dbt_run, trigger_rule="none_failed" if loads else "all_success")
    tests = task_of(doing, "dbt_test", doing.dbt_test, trigger_rule="none_failed")
    loads >> runs >> tests
    return [*loads, runs, tests]


def _tables(doing: PipelineTasks, stages: Sequence[Stage]) -> Mapping[str, Any]:
    """Add a task for each step, in the group of its layer, after those it waits for."""
    groups: dict[str, Any] = {}
    tasks: dict[str, Any] = {}
    for stage in stages:
        if stage.group not in groups:
            groups[stage.group] = group_of(stage.group, of=doing.prefix.rstrip("."))
        tasks[stage.step] = task_of(
            doing,
            stage.label,
            doing.step,
            op_kwargs={"step": stage.step},
            doc_md=_about(doing.pipeline, stage.step),
            # What has nothing to do is skipped, and keeps nothing from being done.
            trigger_rule="none_failed" if stage.after else "all_success",
            task_group=groups[stage.group],
            **_pooled(doing, stage),
        )
        for name in stage.after:
            tasks[name] >> tasks[stage.step]
    return tasks


def _pooled(doing: PipelineTasks, stage: Stage) -> dict[str, Any]:
    pool = doing.site.database_pool
    return {"pool": pool} if pool and DATABASE in stage.tags else {}


def _about(pipeline: Pipeline, step: str) -> str | None:
    """Return what people read about a step: what a table says of itself."""
    if len(together := pipeline.together(step)) > 1:
        return f"Reads {', '.join(together)}, all of one snapshot."
    told = pipeline.nodes[step].__doc__ if step in pipeline.nodes else None
    return cleandoc(told) if told else None


def _telling(doing: PipelineTasks, layer: str) -> Any:
    given = {"op_kwargs": {"layer": layer}, "outlets": [doing.asset(layer)]}
    return task_of(doing, f"{layer}_published", doing.tell, **given)


def _layers(pipeline: Pipeline, stages: Sequence[Stage]) -> list[str]:
    """Return the layers that may change; which those of a dbt project are is known when a run has read it."""
    groups = {stage.group for stage in stages}
    return [layer for layer in pipeline.layers if layer in groups or DBT in groups]

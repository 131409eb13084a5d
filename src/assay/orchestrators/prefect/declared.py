"""The deployments of a project, as the table `deployments` of assay.toml declares them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from assay.model.errors import DeclarationError, SettingsError, UsageError, near_miss
from assay.model.pipeline import Pipeline
from assay.model.secrets import without_secrets
from assay.model.workflow import Part, Unit, Workflow, pipeline_of
from assay.orchestrators.opening import PLACES, options_of, unit_of
from assay.settings import Settings


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow that the server knows by name, and starts when it is asked or the time has come."""

    name: str
    run: str = ""
    """What it runs: a name in assay.toml, or "module:object"."""
    tables_of: str = ""
    """Instead, the pipeline of which it does just some tables, of runs that other deployments begin and end."""
    cron: str = ""
    """When it runs by itself, as cron writes it."""
    timezone: str = "UTC"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What is asked of its runs, such as select = ["gold_daily"]."""
    tags: tuple[str, ...] = ()
    spread: Mapping[str, str] = field(default_factory=dict)
    """Pipeline, or part of one, -> the deployment that does its tables, in several flow runs side by side."""
    chunks: int = 4
    """In how many."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Workflow within it -> the deployment that runs it, as a flow run of its own."""

    @property
    def unit(self) -> Unit:
        """What it runs."""
        return unit_of(self.run or self.tables_of)

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return self.unit.name if self.run else f"tables_of_{self.unit.name}"

    @property
    def full_name(self) -> str:
        """What Prefect calls it."""
        return f"{self.flow_name}/{self.name}"

    @property
    def waits(self) -> bool:
        """Whether its runs wait for others: where these needed the same workers, all could wait for ever."""
        return bool(self.spread or self.elsewhere)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_KINDS = {str: "a text", int: "a whole number", dict: "a table", list: "a list"}
_FIELDS = [each.name for each in fields(Deployment) if each.name != "name"]


def deployments_of(settings: Settings) -> dict[str, Deployment]:
    """Return the deployments by name; raises SettingsError that names what is wrong with one."""
    found = {name: _deployment(name, body) for name, body in settings.deployments.items()}
    for each in found.values():
        for needed in (*each.spread.values(), *each.elsewhere.values()):
            if needed not in found:
                raise SettingsError(f"deployments.{each.name}: there is no {needed!r}.{near_miss(needed, found)}")
        for needed in each.spread.values():
            if not found[needed].tables_of:
                raise SettingsError(f"deployments.{each.name}: {needed} does no tables; it has no `tables_of`.")
    return found


def check(deployment: Deployment, known: Mapping[str, Deployment]) -> None:
    """Raise SettingsError where what a deployment names is not what it needs; loads the pipelines that it names."""
    place, unit = f"deployments.{deployment.name}", deployment.unit
    if deployment.tables_of and not isinstance(unit, Pipeline | Part):
        raise SettingsError(f"{place}: {deployment.tables_of} is no pipeline, so it has no tables.")
    within = dict(_within(unit))
    spread = {name: of for name, of in within.items() if isinstance(of, Pipeline | Part)}
    for name, needed in deployment.spread.items():
        if name not in spread:
            raise SettingsError(f"{place}.spread: there is no pipeline {name!r} in it.{near_miss(name, spread)}")
        if _pipeline(known[needed].unit) != _pipeline(spread[name]):
            raise SettingsError(f"{place}.spread: {needed} does no tables of {name}; see its `tables_of`.")
    elsewhere = {name: of for name, of in within.items() if isinstance(of, Workflow) and of is not unit}
    for name, needed in deployment.elsewhere.items():
        if name not in elsewhere:
            raise SettingsError(f"{place}.elsewhere: there is no workflow {name!r} in it.{near_miss(name, elsewhere)}")
        if known[needed].tables_of or known[needed].unit.name != name:
            raise SettingsError(f"{place}.elsewhere: {needed} does not run {name}; see its `run`.")
    if not deployment.tables_of:
        try:
            asked = {name: value for name, value in deployment.parameters.items() if name not in PLACES}
            options_of(asked, dt.date.min, unit)
        except (UsageError, DeclarationError) as error:
            raise SettingsError(f"{place}.parameters: {error}") from None
    for name, value in deployment.parameters.items():
        if without_secrets(str(value)) != str(value):
            raise SettingsError(
                f"{place}.parameters.{name} has a password in it, and the server would show it. Leave it to the "
                "variable ASSAY_WAREHOUSE of the workers, or to PostgreSQL's own password file."
            )


def _within(unit: Unit) -> Iterator[tuple[str, Unit]]:
    """Yield a unit by its name, and all that is in it."""
    yield unit.name, unit
    if isinstance(unit, Workflow):
        for inner in unit.units.values():
            yield from _within(inner)


def _pipeline(unit: Unit) -> str | None:
    """Return the name of the pipeline that a unit is, or is a part of; None of a workflow or task."""
    return pipeline_of(unit).name if isinstance(unit, Pipeline | Part) else None


def _deployment(name: str, body: Mapping[str, Any]) -> Deployment:
    place = f"deployments.{name}"
    if not _NAME.fullmatch(name):
        raise SettingsError(f"deployments: {name!r} is no name: use letters, digits, - and _, and a letter first.")
    for key in body:
        if key not in _FIELDS:
            raise SettingsError(f"{place}: {key!r} is nothing a deployment has.{near_miss(key, _FIELDS)}")
    if ("run" in body) == ("tables_of" in body):
        raise SettingsError(f"{place} needs `run`, or `tables_of`: what it runs.")
    defaults = Deployment(name)
    for key, value in body.items():
        wanted = list if key == "tags" else type(getattr(defaults, key))
        if type(value) is not wanted:
            raise SettingsError(f"{place}.{key} is {value!r}; it should be {_KINDS[wanted]}.")
    for key in ("tags", "spread", "elsewhere"):
        texts = body.get(key, ())
        for text in texts.values() if isinstance(texts, dict) else texts:
            if not isinstance(text, str):
                raise SettingsError(f"{place}.{key} has {text!r} in it; it should be a text.")
    found = Deployment(name, **{**body, "tags": tuple(body.get("tags", ()))})
    if found.chunks < 1:
        raise SettingsError(f"{place}.chunks is {found.chunks}; it should be 1 or more.")
    return found

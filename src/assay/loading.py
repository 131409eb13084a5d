"""Finding a pipeline or workflow, or what else a phase holds, by the name that people write."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import ModuleType

from assay.model.database import PostgresTable, is_address
from assay.model.errors import AssayError, DeclarationError, describe, near_miss
from assay.model.pipeline import Pipeline
from assay.model.place import place_of
from assay.model.workflow import Unit, Workflow
from assay.settings import FILE, Settings


def find_pipeline(name: str, settings: Settings) -> Pipeline:
    """Load a pipeline by its name in assay.toml or as "module:object"; see `find`."""
    found = find(name, settings)
    if isinstance(found, Workflow):
        raise DeclarationError(f"{name!r} is a workflow of pipelines: name one of these, or run, plan or resume it.")
    return found


def find_workflow(name: str, settings: Settings) -> Workflow:
    """Load a workflow by its name in assay.toml or as "module:object"; see `find`."""
    found = find(name, settings)
    if isinstance(found, Pipeline):
        raise DeclarationError(f"{name!r} is a pipeline, and no workflow of some: run, plan or resume it as one.")
    return found


def find(name: str, settings: Settings) -> Pipeline | Workflow:
    """Load a pipeline or workflow by its name in assay.toml or as "module:object".

    Modules are found from the folder of assay.toml and the current one. Raises DeclarationError with the near miss.
    """
    found = find_unit(name, settings)
    if not isinstance(found, Pipeline | Workflow):
        raise DeclarationError(f"{name!r} is a step of workflows, and not run by itself.")
    return found


def find_unit(name: str, settings: Settings) -> Unit:
    """Load whatever can stand in a phase: a task or part of a pipeline, too; see `find`."""
    target = settings.pipelines.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        raise DeclarationError(_nowhere(name, settings))
    for folder in (str(Path.cwd()), str(Path(settings.folder).absolute())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module = _module(module_name, name)
    found = getattr(module, attribute, None)
    if not isinstance(found, Unit):
        pipelines = [key for key, value in vars(module).items() if isinstance(value, Pipeline | Workflow)]
        raise DeclarationError(
            f"{module_name} has no pipeline {attribute!r}.{near_miss(attribute, pipelines)} "
            f"It has: {', '.join(pipelines) or 'none'}."
        )
    return found


def reading(pipeline: Pipeline, sources: Mapping[str, str | PathLike[str]] | None, folder: Path = Path()) -> Pipeline:
    """Return a pipeline that reads some sources from elsewhere; paths count from the folder, or where this was started.

    A table of a database has an address instead, or a variable that holds one.
    """

    def place(name: str, given: str) -> str:
        in_database = isinstance(pipeline.sources.get(name), PostgresTable)
        return given if in_database and is_address(given) else str((folder / given).absolute())

    return pipeline.reading({name: place(name, str(given)) for name, given in (sources or {}).items()})


def _nowhere(name: str, settings: Settings) -> str:
    """Return why a name without a colon leads to no object."""
    if name in settings.pipelines:
        target = settings.pipelines[name]
        return f"{FILE}: pipelines.{name} is {target!r}, which lacks its object: write it as {target}:{name}."
    if not (Path(settings.folder) / FILE).is_file() and not settings.pipelines:
        return f"{name!r} is no pipeline: no {FILE} is here to name it. Write module:object, as in orders:orders."
    return (
        f"{name!r} is no pipeline of {FILE}.{near_miss(name, settings.pipelines)} "
        "Write a name from there, or module:object, as in orders:orders."
    )


def _module(module_name: str, name: str) -> ModuleType:
    """Import a user's module; whatever fails in it is told with its line."""
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise DeclarationError(f"{module_name!r} is no name of a module to load {name!r} from; write module:object.")
    try:
        return importlib.import_module(module_name)
    except AssayError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise DeclarationError(f"There is no module {module_name!r} to load {name!r} from.") from None
        place = place_of(error) or module_name
        raise DeclarationError(f"{place}: {describe(error)}") from error

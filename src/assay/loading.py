"""Finding a pipeline by the name that people write."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from assay.model.errors import DeclarationError, near_miss
from assay.model.pipeline import Pipeline
from assay.settings import Settings


def find_pipeline(name: str, settings: Settings) -> Pipeline:
    """Load a pipeline by its name in assay.toml or as "module:object".

    Modules are found from the folder of assay.toml and the current one. Raises DeclarationError with the near miss.
    """
    target = settings.pipelines.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon:
        raise DeclarationError(
            f"{name!r} is no pipeline of assay.toml.{near_miss(name, settings.pipelines)} "
            "Write a name from there, or module:object, as in orders:orders."
        )
    for folder in (str(Path.cwd()), str(Path(settings.folder).absolute())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise DeclarationError(f"There is no module {module_name!r} to load {name!r} from.") from None
        raise
    found = getattr(module, attribute, None)
    if not isinstance(found, Pipeline):
        pipelines = [key for key, value in vars(module).items() if isinstance(value, Pipeline)]
        raise DeclarationError(
            f"{module_name} has no pipeline {attribute!r}.{near_miss(attribute, pipelines)} "
            f"It has: {', '.join(pipelines) or 'none'}."
        )
    return found

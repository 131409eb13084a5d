"""A copy of a dbt project for one run, in which every name leads to the schemas of that run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from assay.model.errors import DeclarationError

PROJECT = "dbt_project.yml"
PREFIX = "DBT_ASSAY_PREFIX"
"""The variable with which the schemas of a run begin; empty for those that readers see."""
MACROS = "_assay.sql"
"""The file of the macros by which names lead into the schemas of a run."""
_WRITTEN = ("target", "logs", "profiles.yml")
"""What dbt writes beside a project, or looks for there, and a run has elsewhere."""
_ENVIRONMENT = "pyvenv.cfg"
_PATHS = re.compile(r"^macro-paths\s*:\s*(?:#.*\s+)?[\[\s-]*['\"]?([^'\"\],#\s]+)", re.MULTILINE)
_OWN = re.compile(r"(\{%[-+]?\s*macro\s+)(generate_schema_name|source)(?=\s*\()")
_VARIABLE = re.compile(rb"env_var\(\s*['\"](\w+)['\"]")
_MACROS = """
{%% macro generate_schema_name(custom_schema_name, node) -%%}
  {{ env_var('%(prefix)s', '') }}{{ (custom_schema_name or target.schema) | trim }}
{%%- endmacro %%}

{%% macro source() -%%}
  {%%- set found = builtins.source(*varargs) -%%}
  {%%- if (found.schema ~ '.' ~ found.identifier) not in %(own)s -%%}
    {%%- do return(found) -%%}
  {%%- endif -%%}
  {%%- do return(api.Relation.create(
      database=found.database, schema=env_var('%(prefix)s', '') ~ found.schema, identifier=found.identifier)) -%%}
{%%- endmacro %%}
"""


def files_of(project: Path) -> Iterator[Path]:
    """Return the files of a project, in order; what dbt writes itself is none of it."""
    yield from (path for path in _files(project) if path.relative_to(project).parts[0] not in _WRITTEN)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if not (path / _ENVIRONMENT).exists():
                yield from _files(path)
        elif path.is_file():
            yield path


def content_of(project: Path, *beside: str) -> str:
    """Return what tells this content of a project, and what goes beside it, from any other."""
    found = hashlib.sha256(json.dumps(beside).encode())
    for path in files_of(project):
        body = path.read_bytes()
        found.update(f"{path.relative_to(project)}\0{len(body)}\0".encode())
        found.update(body)
    return found.hexdigest()


def variables_of(project: Path) -> list[str]:
    """Return the names of the variables of the environment that a project asks for, without its secrets."""
    found = {name.decode() for path in files_of(project) for name in _VARIABLE.findall(path.read_bytes())}
    return sorted(name for name in found if not name.startswith(("DBT_ENV_SECRET", PREFIX)))


def surroundings_of(project: Path, variables: Mapping[str, str]) -> str:
    """Return what tells the variables that models may ask for, of the project and the environment, from any others."""
    body = (project / PROJECT).read_text("utf-8")
    return hashlib.sha256(json.dumps([body, variables], sort_keys=True).encode()).hexdigest()


def check(project: Path) -> None:
    """Raise DeclarationError for a folder that is no project."""
    if not (project / PROJECT).is_file():
        raise DeclarationError(f"{project}: holds no {PROJECT}; a dbt project begins there.")


def copy(project: Path, to: Path, datasets: Collection[str]) -> None:
    """Copy a project; its models get the schemas of the run, and its sources too where they are among the datasets.

    A macro of its own, or of a package, that names schemas gets another name, by which nobody calls it: the names that
    readers see are those that models ask for.
    """
    for path in files_of(project):
        place = to / path.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        if path.suffix == ".sql" and _OWN.search(text := path.read_text("utf-8", "surrogateescape")):
            place.write_text(_OWN.sub(r"\1unused_\2", text), "utf-8", "surrogateescape")
    named = _PATHS.search((to / PROJECT).read_text("utf-8"))
    macros = to / (named[1] if named else "macros") / MACROS
    macros.parent.mkdir(parents=True, exist_ok=True)
    macros.write_text(_MACROS % {"prefix": PREFIX, "own": sorted(datasets)}, "utf-8")

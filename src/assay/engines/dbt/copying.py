"""A copy of a dbt project for one run, in which every name leads to the schemas of that run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from assay.model.errors import DeclarationError

PROJECT = "dbt_project.yml"
PREFIX = "DBT_ASSAY_PREFIX"
"""The variable with which the schemas of a run begin; empty for those that readers see."""
_LEFT_OUT = ("target", "logs", ".git", ".venv", "__pycache__", "profiles.yml")
_NAME = re.compile(r"^(name|profile)\s*:\s*['\"]?([A-Za-z_][A-Za-z0-9_]*)['\"]?\s*(?:#.*)?$", re.MULTILINE)
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
    for path in sorted(project.iterdir()):
        if path.name in _LEFT_OUT:
            continue
        if path.is_dir():
            yield from files_of(path)
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


def names_of(project: Path) -> tuple[str, str]:
    """Return the names of a project and its profile; raises DeclarationError for a folder that holds none."""
    path = project / PROJECT
    if not path.is_file():
        raise DeclarationError(f"{project}: holds no {PROJECT}; a dbt project begins there.")
    known = dict(_NAME.findall(path.read_text("utf-8")))
    if "name" not in known:
        raise DeclarationError(f"{path}: gives the project no name.")
    return str(known["name"]), str(known.get("profile") or known["name"])


def copy(project: Path, to: Path, datasets: Collection[str]) -> None:
    """Copy a project; its models get the schemas of the run, and its sources too where they are among the datasets.

    A macro of its own that names schemas gives way: the names that readers see are those that models ask for.
    """
    for path in files_of(project):
        place = to / path.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    for path in (to / "macros").rglob("*.sql") if (to / "macros").is_dir() else ():
        text = path.read_text("utf-8")
        if re.search(r"macro\s+(generate_schema_name|source)\s*\(", text):
            path.write_text(_without_own(text), "utf-8")
    macros = to / "macros" / "_assay.sql"
    macros.parent.mkdir(exist_ok=True)
    macros.write_text(_MACROS % {"prefix": PREFIX, "own": sorted(datasets)}, "utf-8")


def _without_own(text: str) -> str:
    """Return the text of macros without those that say where models and sources stand."""
    own = r"\{%-?\s*macro\s+(?:generate_schema_name|source)\s*\(.*?\{%-?\s*endmacro\s*-?%\}"
    return re.sub(own, "", text, flags=re.DOTALL)

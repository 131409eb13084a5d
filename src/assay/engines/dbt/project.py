"""A dbt project as a run uses it: a copy in a folder of its own, and its models, which dbt is asked for once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.engines.dbt.copying import check, content_of, copy, surroundings_of, variables_of
from assay.engines.dbt.kept import Kept
from assay.engines.dbt.manifest import Parsed, project_of
from assay.engines.dbt.program import PROFILES, Program, environment, found, last_lines, profiles
from assay.model.dbt import DbtProject
from assay.model.errors import DeclarationError
from assay.model.workshop import NOBODYS
from assay.settings import Settings

_FORMAT = "3"
"""Raised when assay asks dbt for its models in another way."""


@contextmanager
def opened(
    project: DbtProject, datasets: Collection[str], settings: Settings, cache: Path, room: str | None = None
) -> Iterator[Program]:
    """Give the program for a copy of a project, which goes when the block ends; `datasets` are the pipeline's tables.

    What dbt has told of this content before is in the folder `cache`. The copy is made in one that has `room` for it,
    or else where this machine keeps what is temporary.
    Raises DeclarationError for a folder that is no project, UsageError where there is no dbt.
    """
    folder = Path(settings.folder, project.folder)
    check(folder)
    path = found(settings.dbt, Path(settings.folder))
    with tempfile.TemporaryDirectory(prefix="assay-dbt-", dir=room) as place:
        copied = Path(place, "project")
        copied.mkdir()
        copy(folder, copied, datasets)
        # JSON is YAML.
        (copied / PROFILES).write_text(json.dumps(profiles(settings.worker_count)), "utf-8")
        kept = Kept(cache / project.content)
        yield Program(path, copied, Path(place, "target"), kept, environment(variables_of(folder)))


def read(project: DbtProject, datasets: Collection[str], settings: Settings, cache: Path, url: str) -> DbtProject:
    """Return a project with its models; dbt is asked once for each content of it, and what it tells kept in a folder.

    It builds in the database at `url`, which is not looked at.

    Raises DeclarationError for what dbt cannot read, or what cannot be published.
    """
    folder = Path(settings.folder, project.folder)
    check(folder)
    variables = environment(variables_of(folder))
    content = content_of(folder, _FORMAT, json.dumps(variables), *sorted(datasets))
    project = replace(project, content=content)
    manifest = Kept(cache / content).manifest() or _asked(project, datasets, settings, cache, url)
    return project_of(project.folder, manifest, datasets, Parsed(surroundings_of(folder, variables), content))


def _asked(
    project: DbtProject, datasets: Collection[str], settings: Settings, cache: Path, url: str
) -> Mapping[str, Any]:
    with opened(project, datasets, settings, cache) as program:
        # A model that is not led into the schemas of nobody would not be led into those of a run either.
        code, said = program.call("parse", prefix=NOBODYS, url=url)
        if code:
            raise DeclarationError(f"{project.folder}: dbt cannot read the project: {last_lines(said)}")
        return program.kept.keep_manifest(program.target)

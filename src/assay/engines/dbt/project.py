"""A dbt project as a run uses it: a copy in a folder of its own, and its models, which dbt is asked for once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.engines.dbt.copying import content_of, copy, names_of
from assay.engines.dbt.manifest import project_of
from assay.engines.dbt.program import PROFILE, Program, found, last_lines, profile
from assay.engines.dbt.results import MANIFEST
from assay.model.dbt import DbtProject
from assay.model.errors import DeclarationError
from assay.settings import Settings

_FORMAT = "1"
"""Raised when assay asks dbt for its models in another way."""


@contextmanager
def opened(project: DbtProject, datasets: Collection[str], settings: Settings) -> Iterator[Program]:
    """Give the program for a copy of a project, which goes when the block ends; `datasets` are the pipeline's tables.

    Raises DeclarationError for a folder that is no project, UsageError where there is no dbt.
    """
    folder = Path(settings.folder, project.folder)
    _, name = names_of(folder)
    path = found(settings.dbt, Path(settings.folder))
    with tempfile.TemporaryDirectory(prefix="assay-dbt-") as place:
        copied = Path(place, "project")
        copied.mkdir()
        copy(folder, copied, datasets)
        # JSON is YAML.
        (copied / PROFILE).write_text(json.dumps(profile(name, settings.worker_count)), "utf-8")
        yield Program(path, copied, Path(place, "target"))


def read(project: DbtProject, datasets: Collection[str], settings: Settings, cache: Path) -> DbtProject:
    """Return a project with its models; dbt is asked once for each content of it, and what it tells kept in a folder.

    Raises DeclarationError for what dbt cannot read, or what cannot be published.
    """
    folder = Path(settings.folder, project.folder)
    names_of(folder)
    kept = cache / content_of(folder, _FORMAT, *sorted(datasets)) / MANIFEST
    if not kept.is_file():
        with opened(project, datasets, settings) as program:
            code, said = program.call("parse")
            if code:
                raise DeclarationError(f"{project.folder}: dbt cannot read the project: {last_lines(said)}")
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = kept.with_name(f"{MANIFEST}.{os.getpid()}")
            shutil.copyfile(program.target / MANIFEST, written)
            written.replace(kept)
    return project_of(project.folder, json.loads(kept.read_text("utf-8")), datasets)

"""A dbt project as a run uses it: a copy in a folder of its own, and its models, which dbt is asked for once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.engines.dbt.copying import check, content_of, copy, surroundings_of, variables_of
from assay.engines.dbt.manifest import Parsed, project_of
from assay.engines.dbt.program import PROFILES, Program, environment, found, last_lines, profiles
from assay.engines.dbt.results import MANIFEST
from assay.model.dbt import DbtProject
from assay.model.errors import DeclarationError
from assay.settings import Settings

_FORMAT = "2"
"""Raised when assay asks dbt for its models in another way."""
_PARSED = "assay_parsed__"
"""What the schemas of models begin with as they are asked for: a model that is not led there would not be led into
the schemas of a run either."""


@contextmanager
def opened(
    project: DbtProject, datasets: Collection[str], settings: Settings, room: str | None = None
) -> Iterator[Program]:
    """Give the program for a copy of a project, which goes when the block ends; `datasets` are the pipeline's tables.

    The copy is made in a folder that has `room` for it, or else where this machine keeps what is temporary.
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
        yield Program(path, copied, Path(place, "target"), environment(variables_of(folder)))


def read(project: DbtProject, datasets: Collection[str], settings: Settings, cache: Path) -> DbtProject:
    """Return a project with its models; dbt is asked once for each content of it, and what it tells kept in a folder.

    Raises DeclarationError for what dbt cannot read, or what cannot be published.
    """
    folder = Path(settings.folder, project.folder)
    check(folder)
    variables = environment(variables_of(folder))
    content = content_of(folder, _FORMAT, json.dumps(variables), *sorted(datasets))
    kept = cache / content / MANIFEST
    if not kept.is_file():
        with opened(project, datasets, settings) as program:
            code, said = program.call("parse", prefix=_PARSED)
            if code:
                raise DeclarationError(f"{project.folder}: dbt cannot read the project: {last_lines(said)}")
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = kept.with_name(f"{MANIFEST}.{os.getpid()}")
            shutil.copyfile(program.target / MANIFEST, written)
            written.replace(kept)
    manifest = json.loads(kept.read_text("utf-8"))
    return project_of(project.folder, manifest, datasets, Parsed(_PARSED, surroundings_of(folder, variables), content))

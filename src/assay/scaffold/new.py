"""Writing a new pipeline: a folder with tables, a test and sample data that run at once."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template

from assay.model.errors import UsageError

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FILES = {
    "README.md": "README.md.txt",
    "assay.toml": "assay.toml.txt",
    "$name.py": "pipeline.py.txt",
    "test_$name.py": "test_pipeline.py.txt",
    ".gitignore": "gitignore.txt",
    "data/$name/2024-11-01.csv": "data/2024-11-01.csv",
    "data/$name/2024-11-02.csv": "data/2024-11-02.csv",
}
"""Path in the new folder -> template."""


def new_project(name: str, folder: Path) -> list[Path]:
    """Write a new pipeline called `name` into a folder that is empty or not there; return the files.

    Raises UsageError, before anything is written, for a name that is no module's or a folder that holds something.
    """
    _check_name(name)
    words = {"name": name, "title": name.replace("_", " ").strip().capitalize()}
    written = {
        folder / Template(path).substitute(words): Template(_template(source)).substitute(words)
        for path, source in _FILES.items()
    }
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; give a folder that is empty or not there yet.")
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; give a folder that is empty or not there yet.")
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written: {error.strerror}.") from error
    return list(written)


def _template(source: str) -> str:
    return (_TEMPLATES / source).read_text(encoding="utf-8")


def _check_name(name: str) -> None:
    """Raise unless the name can be a module's and a pipeline's: an existing module would be found in its place."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot be the name of a pipeline; use lower case letters, digits and underscores, "
            "a letter first, and no word of Python's own."
        )
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UsageError(f"{name!r} is the name of a Python module that is installed here; choose another.")

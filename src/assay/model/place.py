"""Where in a user's own code an error came from."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIBRARIES = tuple(
    f"{Path(folder).resolve()}/"
    for folder in (str(Path(__file__).parents[1]), *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib")))
)


def place_of(error: BaseException) -> str:
    """Return "orders.py:12", the line of the user's code that an error came from, or "" where it has none."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        return _written(error.filename, error.lineno)
    return _written(own[-1].filename, own[-1].lineno) if own else ""


def is_raised_by_own_code(error: BaseException) -> bool:
    """Return whether the line that failed is the user's, not one of a library that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _is_own(frames[-1].filename)


def place_of_function(function: Callable[..., Any]) -> str:
    """Return where a function is written, or its name where Python cannot tell."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return _written(code.co_filename, code.co_firstlineno) if code else repr(function)


def _written(file: str, line: int | None) -> str:
    """Return a place as people write it, from the current folder where that leads there."""
    path = Path(file)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}:{line}" if line else str(path)


def _is_own(file: str) -> bool:
    return not file.startswith("<") and not str(Path(file).resolve()).startswith(_LIBRARIES)

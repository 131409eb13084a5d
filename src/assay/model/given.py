"""What people give to declarations and runs, held to what is meant there: names that are known, lists, flags."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from assay.model.errors import DeclarationError, UsageError, near_miss


def check_arguments(function: str, given: Mapping[str, Any], known: type) -> None:
    """Raise UsageError for an argument that a TypedDict has not; Python lets a function with `**` take any name."""
    names = known.__annotations__
    for name in given:
        if name not in names:
            raise UsageError(f"{function}() takes no {name!r}.{near_miss(name, names)} It takes: {', '.join(names)}.")


def listed(place: str, argument: str, value: Any, kind: type[list[str] | tuple[str, ...]] = list) -> tuple[str, ...]:
    """Return the texts of a list; raises DeclarationError for a text alone, which would be taken letter by letter."""
    if isinstance(value, str):
        raise DeclarationError(
            f"{place}: {argument}= is a {kind.__name__}: write {argument}={kind([value])!r}, not {value!r}."
        )
    if not isinstance(value, Iterable):
        raise DeclarationError(f"{place}: {argument}= is a {kind.__name__} of texts, not {shown(value)}.")
    texts = tuple(value)
    for each in texts:
        if not isinstance(each, str):
            raise DeclarationError(f"{place}: {argument}= is a {kind.__name__} of texts, and {shown(each)} is none.")
    return texts


def check_flags(place: str, **flags: Any) -> None:
    """Raise DeclarationError for what is neither True nor False: the text "no" counts as true."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise DeclarationError(f"{place}: {name}= is True or False, not {shown(value)}.")


def path_of(function: str, path: Any) -> str:
    """Return a path as text; raises DeclarationError for what is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise DeclarationError(
            f"{function}() reads one path, or a pattern with *, as in {function}('data/*.csv'); not {shown(path)}."
        )
    return text


def name_of(function: Any, what: str) -> str:
    """Return the name of a function, after which a table or task is called; raises DeclarationError for one without."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise DeclarationError(
            f"@{what}() stands above a function, after which the {what} is called; {shown(function)} has no name. "
            "Write `def` around it."
        )
    return name


def shown(value: Any) -> str:
    """Return a value as people write it, or what it is: where it lies in memory helps nobody."""
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)
    return str(getattr(value, "__name__", None) or f"a {type(value).__name__}")

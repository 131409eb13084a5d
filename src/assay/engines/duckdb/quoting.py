"""Names and texts as DuckDB reads them, whatever they contain."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_MEMBERS = re.compile(r"""contains\(\[((?:'(?:[^']|'')*'|[^'\[\]])*)\]""")
_MEMBER = re.compile(r"""(?:'(?:[^']|'')*'|[^',])+""")
_TYPE = re.compile(r"::[\w(), ]+$")
_GLOB = re.compile(r"[*?[]")
_GENERATED = re.compile(r'"(?:\w*_)?[0-9a-f]{12,}"')


def name(text: str) -> str:
    """Quote an identifier."""
    return '"' + text.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a text."""
    return "'" + value.replace("'", "''") + "'"


def path(value: str) -> str:
    """Quote a path: DuckDB would take a file called a[1].csv for a pattern, and read a1.csv."""
    return text(pattern(value))


def paths(values: Iterable[str]) -> str:
    """Write a list of paths."""
    return array([pattern(value) for value in values])


def pattern(value: str) -> str:
    """Return the pattern that just this path matches."""
    # In a pattern, DuckDB takes a backslash for a slash and finds nothing; it looks for a file of that name then.
    return value if "\\" in value else _GLOB.sub(r"[\g<0>]", value)


def array(values: Sequence[str]) -> str:
    """Write a list of texts."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def struct(values: Mapping[str, str]) -> str:
    """Write a struct whose values are SQL already."""
    return "{" + ", ".join(f"{text(key)}: {value}" for key, value in values.items()) + "}"


def renumbered(query: str, known: Collection[str] = ()) -> str:
    """Replace names that were made at random by their order, so that equal computations have equal texts.

    Texts in quotes are left alone: a constant that looks random is still a constant. Members of a list that something
    is looked for in stand in one order: those of a Python set change their places from process to process.
    """
    order: dict[str, str] = {}
    kept = {name(column) for column in known}

    def replacement(match: re.Match[str]) -> str:
        token = match[0]
        if not _GENERATED.fullmatch(token) or token in kept:
            return token
        return order.setdefault(token, f'"generated_{len(order)}"')

    return _MEMBERS.sub(_sorted_members, _TOKEN.sub(replacement, query))


def _sorted_members(match: re.Match[str]) -> str:
    # The type stands at the first member only, whichever that is.
    members = {_TYPE.sub("", member.strip()) for member in _MEMBER.findall(match[1])}
    return f"contains([{', '.join(sorted(members))}]"

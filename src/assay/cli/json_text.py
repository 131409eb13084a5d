"""Values as JSON text: what JSON has no word for is a text, and how a value is written goes by its type alone."""

from __future__ import annotations

import math
from decimal import Decimal
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

INDENT = "  "


def json_text(value: Any, line: str = "\n") -> str:
    r"""Return a value as JSON; each of its lines but the first begins with `line`, and members stand further in.

    A DECIMAL is a number with all its digits, bytes are a text as PostgreSQL writes it: \x00ff. NaN and the infinities
    are texts, as all other kinds of values are.
    """
    match value:
        case dict():
            members = [f"{_key(name)}: {json_text(each, line + INDENT)}" for name, each in value.items()]
            return _around("{", members, "}", line)
        case list() | tuple():
            return _around("[", [json_text(each, line + INDENT) for each in value], "]", line)
    return _scalar(value)


def _scalar(value: Any) -> str:
    # Not by the encoder of the standard library, which has no way to write a DECIMAL in its own digits.
    match value:
        case str():
            return quoted(value)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int():
            return int.__repr__(value)
        case float() if math.isfinite(value):
            return float.__repr__(value)
        case Decimal() if value.is_finite():
            return f"{value:f}"
    return quoted(hexadecimal(value) if isinstance(value, bytes) else str(value))


def hexadecimal(value: bytes) -> str:
    r"""Return bytes as PostgreSQL writes them: \x and two digits each."""
    return f"\\x{value.hex()}"


def _key(name: Any) -> str:
    """Return a key as JSON has them: always a text, also that of a MAP with other keys."""
    if isinstance(name, str):
        return quoted(name)
    word = json_text(name)
    return word if word.startswith('"') else quoted(word)


def _around(begin: str, members: list[str], end: str, line: str) -> str:
    if not members:
        return begin + end
    inner = line + INDENT
    return f"{begin}{inner}{f',{inner}'.join(members)}{line}{end}"

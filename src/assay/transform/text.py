"""Cleaning text."""

from __future__ import annotations

from narwhals import Expr, col, lit, when

# All that Unicode calls white space: by themselves, engines strip different parts of it.
_BLANKS = "".join(chr(n) for n in range(0x3001) if chr(n).isspace())


def clean_text(column: str, strip: str = "") -> Expr:
    """Return the text column without the characters of `strip` and without blanks around it; empty becomes null."""
    text = col(column)
    for character in strip:
        text = text.str.replace_all(character, "", literal=True)
    text = text.str.strip_chars(_BLANKS)
    return when(text != lit("")).then(text).alias(column)

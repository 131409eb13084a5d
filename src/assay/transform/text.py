"""Cleaning text."""

from __future__ import annotations

from narwhals import Expr, col, lit, when


def clean_text(column: str, strip: str = "") -> Expr:
    """Return the text column without the characters of `strip` and without blanks around it; empty becomes null."""
    text = col(column)
    for character in strip:
        text = text.str.replace_all(character, "", literal=True)
    text = text.str.strip_chars()
    return when(text != lit("")).then(text).alias(column)

"""Cleaning text."""

from __future__ import annotations

from narwhals import Expr, col, lit, when

# All that Unicode calls white space: by themselves, engines strip different parts of it.
_BLANKS = "".join(chr(n) for n in range(0x3001) if chr(n).isspace())


_EMAIL = r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$"
_PARTICLES = ("Van", "Von", "Der", "Den", "De", "Del", "Di", "Da", "Dos", "Du", "La", "Ter")
"""Of names; behind a first name they are written small."""
_TITLES = ("MD", "PhD", "DDS", "DVM", "RN", "II", "III", "IV")
"""Behind names; with more capitals than the first."""
_MARK = "\N{UNIT SEPARATOR}"


def person_name(column: str) -> Expr:
    """Return the name of a person without needless blanks, and with capitals where all or none of it had them.

    "ludwig VAN der berg" stays, as somebody chose its capitals; "LUDWIG VAN DER BERG" becomes "Ludwig van der Berg",
    "john o'brien md" "John O'Brien MD", "ann mcdonald-smith" "Ann McDonald-Smith". Empty becomes null.
    """
    text = col(column).str.replace_all(f"[{_BLANKS}]+", " ").str.strip_chars(" ")
    # What follows the mark begins a word of its own.
    marked = text.str.to_lowercase().str.replace_all(r"\bmc", f"mc{_MARK}")
    name = marked.str.to_titlecase().str.replace_all(_MARK, "", literal=True)
    for particle in _PARTICLES:
        name = name.str.replace_all(f" {particle} ", f" {particle.lower()} ", literal=True)
    for title in _TITLES:
        name = name.str.replace_all(rf" {title.capitalize()}\b", f" {title}")
    chosen = (text != text.str.to_lowercase()) & (text != text.str.to_uppercase())
    return when(text != lit("")).then(when(chosen).then(text).otherwise(name)).alias(column)


def clean_email(column: str) -> Expr:
    """Return the address in small letters and without blanks around it; empty becomes null."""
    text = col(column).str.strip_chars(_BLANKS).str.to_lowercase()
    return when(text != lit("")).then(text).alias(column)


def is_email(column: str) -> Expr:
    """Return whether a text has the form of an e-mail address; null for null."""
    return col(column).str.contains(_EMAIL)


def clean_text(column: str, strip: str = "") -> Expr:
    """Return the text column without the characters of `strip` and without blanks around it; empty becomes null."""
    text = col(column)
    for character in strip:
        text = text.str.replace_all(character, "", literal=True)
    text = text.str.strip_chars(_BLANKS)
    return when(text != lit("")).then(text).alias(column)

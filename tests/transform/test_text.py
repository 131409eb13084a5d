"""Cleaned text has no quotes, no blanks around it, and null instead of nothing, on every engine."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import clean_text
from tests.transform.frames import both_engines, frame, rows_of

TYPES = {"name": pa.string()}
BLANKS = " \t\n\r\v\f"


def cleaned(engine: str, texts: list[str | None], strip: str = "") -> list[str | None]:
    found = frame(engine, [{"name": text} for text in texts], TYPES).select(clean_text("name", strip))
    return [row["name"] for row in rows_of(found)]


@both_engines
@pytest.mark.parametrize(
    ("text", "strip", "expected"),
    [
        ("Mitte", "", "Mitte"),
        ("  Mitte ", "", "Mitte"),
        ("\tAn der Spree\r\n", "", "An der Spree"),
        ("a  b", "", "a  b"),
        ("", "", None),
        ("   ", "", None),
        (None, "", None),
        (None, '"', None),
        ('"""B1"""', '"', "B1"),
        ('"" "', '"', None),
        ('"', '"', None),
        ("it's", "", "it's"),
        ("it's", "'", "its"),
        ("a.b", ".", "ab"),
        ("a.b*c[d]\\e%f", ".*[]\\%", "abcdef"),
        ("größe ", "ö", "grße"),
        ("null", "", "null"),
        ("\u00a0Mitte\u00a0", "", "Mitte"),
        ("\u3000Mitte", "", "Mitte"),
    ],
)
def test_text_is_cleaned(engine: str, text: str | None, strip: str, expected: str | None) -> None:
    assert cleaned(engine, [text], strip) == [expected]


@both_engines
@given(
    texts=st.lists(st.one_of(st.none(), st.text(f"aäß\"'.%{BLANKS}", max_size=6)), min_size=1, max_size=30),
    strip=st.text("\"'.%aß", max_size=3),
)
def test_any_text_is_cleaned_as_plain_python_would(engine: str, texts: list[str | None], strip: str) -> None:
    def plain(text: str | None) -> str | None:
        return (text or "").translate(dict.fromkeys(map(ord, strip))).strip(BLANKS) or None

    assert cleaned(engine, texts, strip) == [plain(text) for text in texts]


@both_engines
def test_the_column_keeps_its_name_among_others(engine: str) -> None:
    given = frame(engine, [{"name": " a ", "other": " b "}], {"name": pa.string(), "other": pa.string()})
    assert rows_of(given.with_columns(clean_text("name"))) == [{"name": "a", "other": " b "}]

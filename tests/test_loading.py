"""A name that leads to no pipeline: what is said of it, and of assay.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import DeclarationError
from assay.loading import find
from assay.settings import Settings

WRITTEN = "module:object, as in orders:orders."


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"x": "m"}, "assay.toml: pipelines.x is 'm', which lacks its object: write it as m:x."),
        (
            {"xy": "m:xy"},
            f"'x' is no pipeline of assay.toml. Did you mean 'xy'? Write a name from there, or {WRITTEN}",
        ),
        ({}, f"'x' is no pipeline: no assay.toml is here to name it. Write {WRITTEN}"),
    ],
)
def test_a_name_that_leads_to_no_pipeline_is_told_by_what_it_lacks(
    named: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError) as error:
        find("x", Settings(pipelines=named, folder=str(tmp_path)))
    assert str(error.value) == message

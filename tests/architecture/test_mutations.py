"""Every mutation of `make test-mutations` fits the code as it is: there it takes minutes to learn that one does not."""

from __future__ import annotations

import ast

import pytest

from tests.mutations.test_mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_the_mutation_is_about_one_place_and_leaves_python(mutation: Mutation) -> None:
    text = (ROOT / "src/assay" / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    ast.parse(text.replace(mutation.old, mutation.new))

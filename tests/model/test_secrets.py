"""A password in an address is shown nowhere, whatever it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import assay
from assay import AssayError, postgres, relation
from assay.model.secrets import address_without_secrets

MARK = "hunter2"
PASSWORDS = st.tuples(st.text(max_size=6), st.text(max_size=6)).map(MARK.join)
PLACES = st.sampled_from(["localhost:abc/x", "localhost/x", "[::1/x", "h1,h2:1/x?bad=1", "", "h/x?a=b c"])
FORMS = st.sampled_from(["postgresql://u:{}" + "@{}", "postgresql+psycopg://:{}" + "@{}", "https:/u:{}" + "@{}"])
WORDS = st.sampled_from(
    ["postgresql://u@h/x?password={}", "host=h password = '{}' user=u", "postgres://h?a=b&pwd={}&c=d"]
)
TABLES = {"orders": relation("orders", columns={"id": "BIGINT"}, key="id")}


@given(password=PASSWORDS, form=FORMS, place=PLACES)
@example("hun ter2 " + MARK, "postgresql://u:{}" + "@{}", "localhost:abc/x")
def test_no_part_of_a_password_before_a_host_is_shown(password: str, form: str, place: str) -> None:
    assert address_without_secrets(form.format(password, place)) == form.format("***", place)


@given(password=PASSWORDS, form=WORDS)
def test_no_part_of_a_password_among_words_is_shown(password: str, form: str) -> None:
    assert MARK not in address_without_secrets(form.format(password))


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    for address in ("postgresql://me@host:5432/shop?sslmode=require", "host=db user=me", "env:SHOP", "a b", ""):
        assert address_without_secrets(address) == address


@given(password=PASSWORDS, place=PLACES)
def test_a_source_whose_address_has_a_password_is_refused_without_it(password: str, place: str) -> None:
    with pytest.raises(AssayError, match="has a password in it") as refused:
        postgres(f"postgresql://u:{password}" + f"@{place}", mode="xmin", tables=TABLES)
    assert MARK not in str(refused.value)


@pytest.mark.parametrize("address", ["postgresql://u:hun ter2" + "@localhost:abc/x", "postgresql://u:'ter2\t" + "@h:1"])
def test_a_warehouse_or_source_that_cannot_be_read_is_told_without_its_password(tmp_path: Path, address: str) -> None:
    for refuse in (lambda: assay.sync(address, warehouse=tmp_path), lambda: assay.connect(address)):
        with pytest.raises(AssayError) as refused:
            refuse()
        assert "ter2" not in str(refused.value)

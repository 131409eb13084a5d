"""What dbt keeps of a parse is that of the next run, with the schemas named as in that."""

from __future__ import annotations

import os
from pathlib import Path

from assay.engines.dbt.kept import Kept
from assay.model.workshop import NOBODYS, prefix_of

PARSE = "partial_parse.msgpack"


def test_a_parse_is_lent_with_the_names_of_the_run_that_asks_for_it(tmp_path: Path) -> None:
    kept, first, second = Kept(tmp_path / "kept"), tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (first / PARSE).write_bytes(b"\xbfassay_run_000007_000012__marts\x01")
    kept.keep_parse(first, prefix_of(7, 12))
    assert (tmp_path / "kept" / PARSE).read_bytes() == b"\xbf" + NOBODYS.encode() + b"marts\x01"
    kept.lend_parse(second, prefix_of(999_999, 13))
    assert (second / PARSE).read_bytes() == b"\xbfassay_run_999999_000013__marts\x01"


def test_a_parse_is_not_lent_where_names_have_another_length_or_none_is_kept(tmp_path: Path) -> None:
    kept, target = Kept(tmp_path / "kept"), tmp_path / "target"
    kept.lend_parse(target, NOBODYS)
    target.mkdir()
    (target / PARSE).write_bytes(b"assay_run_1000000_000012__marts")
    kept.keep_parse(target, prefix_of(1_000_000, 12))
    assert not (tmp_path / "kept").exists()
    (target / PARSE).unlink()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / PARSE).write_bytes(NOBODYS.encode())
    kept.lend_parse(target, prefix_of(1_000_000, 12))
    assert not (target / PARSE).exists()


def test_of_contents_that_are_long_gone_nothing_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "manifest.json").write_text('{"nodes": {}}')
    for number in range(23):
        folder = tmp_path / f"kept/{number}"
        assert Kept(folder).manifest() is None
        assert Kept(folder).keep_manifest(target) == {"nodes": {}}
        os.utime(folder, (number, number))
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {str(number) for number in range(3, 23)}
    assert Kept(tmp_path / "kept/3").manifest() == {"nodes": {}}

"""Files as a source: which are found and under which names, and when their content must be looked at again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.model.errors import SourceError
from assay.model.files import Csv, csv
from assay.model.source import Slice
from assay.sources.files import Delivery, find, identify, unchanged_since

ROOT = Path(__file__).parents[2]


def source(path: str) -> Csv:
    return csv(path, columns={"a": "VARCHAR"})


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def slice_of(delivery: Delivery, seconds_later: float) -> Slice:
    """The slice as which a file was taken, so many seconds after its last change."""
    changed = max(delivery.identity.mtime_ns, delivery.identity.ctime_ns)
    return Slice(delivery.name, 1, delivery.identity, "2024-12-01", changed + int(seconds_later * 1e9))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "b.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("[b-z].csv", ["b.csv"]),
        ("in/*.csv", ["c.csv", "d.csv"]),
        ("*/c.csv", ["in/c.csv"]),
        ("in/**/*.csv", ["c.csv", "d.csv", "deep/e.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "in/c.csv", "in/d.csv", "in/deep/e.csv"]),
        ("**/**/e.csv", ["in/deep/e.csv"]),
        ("in/d*/e.csv", ["deep/e.csv"]),
    ],
)
def test_files_are_found_and_named_from_the_last_folder_before_a_wildcard(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    write(tmp_path, "a.csv", "b.csv", "in/c.csv", "in/d.csv", "in/deep/e.csv", "other.txt")
    (tmp_path / "folder.csv").mkdir()
    for found in (find(source(pattern), tmp_path), find(source(str(tmp_path / pattern)), Path("/nowhere"))):
        assert [delivery.name for delivery in found] == names
        assert [Path(delivery.identity.path).stem for delivery in found] == [Path(name).stem for name in names]


@pytest.mark.parametrize("pattern", ["**/*.csv", "*/*.csv", "*/a.csv", "**/a.csv", "south/*.csv"])
def test_a_folder_that_cannot_be_looked_into_is_told_and_not_taken_for_empty(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "north/a.csv", "south/a.csv")
    (tmp_path / "south").chmod(0)
    names = "from tests.sources.test_files import find, source; from pathlib import Path; import sys"
    call = [
        sys.executable,
        "-c",
        f"{names}; print(find(source(sys.argv[1]), Path(sys.argv[2])))",
        pattern,
        str(tmp_path),
    ]
    # Root may look into everything.
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    found = subprocess.run([*plain, *call], capture_output=True, text=True, check=False, cwd=ROOT)
    told = found.stderr.splitlines()[-1]
    assert told.startswith(f"assay.model.errors.SourceError: {tmp_path}/south")
    assert told.endswith(": Permission denied.")


@pytest.mark.parametrize("name", ["orders[1].csv", "[a].csv"])
def test_a_file_whose_name_is_a_pattern_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "orders1.csv", "a.csv")
    for found in (find(source(name), tmp_path), find(source(str(tmp_path / name)), Path("/nowhere"))):
        assert [delivery.name for delivery in found] == [name]


@given(st.sets(st.text("ab*[]?", min_size=1, max_size=4), min_size=1, max_size=8), st.sampled_from(["*", "a*", "?b*"]))
def test_a_pattern_finds_just_the_files_that_match_it_whatever_they_are_called(names: set[str], pattern: str) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder), *names)
        expected = sorted(name for name in names if fnmatchcase(name, pattern))
        if expected:
            assert [delivery.name for delivery in find(source(pattern), Path(folder))] == expected
        else:
            with pytest.raises(SourceError, match=r"^No file matches "):
                find(source(pattern), Path(folder))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.csv", "{folder}/no.csv: No such file or directory."),
        ("a.csv/b.csv", "{folder}/a.csv/b.csv: Not a directory."),
        ("in", "{folder}/in: is a folder; name a file, or a pattern such as in/*.csv."),
        ("no/*.csv", "No file matches no/*.csv."),
        ("in/*", "No file matches in/*."),
    ],
)
def test_what_is_no_file_is_told(tmp_path: Path, path: str, message: str) -> None:
    write(tmp_path, "a.csv")
    (tmp_path / "in" / "folder").mkdir(parents=True)
    with pytest.raises(SourceError) as caught:
        find(source(path), tmp_path)
    assert str(caught.value) == message.format(folder=tmp_path)


@given(st.binary(max_size=200))
def test_a_file_is_told_by_the_hash_of_its_own_bytes(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "a.csv").write_bytes(data)
        (found,) = find(source("a.csv"), Path(folder))
        assert (found.identity.sha256, found.identity.size) == ("", len(data))
        assert identify(found, None).identity.sha256 == hashlib.sha256(data).hexdigest()


def test_a_known_file_is_read_again_unless_it_cannot_have_changed(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    (found,) = find(source("a.csv"), tmp_path)
    own = hashlib.sha256(b"a.csv").hexdigest()
    known = Delivery(found.name, replace(found.identity, sha256="as before"))
    assert identify(found, slice_of(known, 3)).identity.sha256 == "as before"
    # Taken so soon after its last change, it may have changed again within the same tick of the clock.
    assert identify(found, slice_of(known, 1)).identity.sha256 == own
    for mark in ("size", "mtime_ns", "ctime_ns", "inode"):
        was = Delivery(found.name, replace(known.identity, **{mark: getattr(known.identity, mark) - 1}))
        assert identify(found, slice_of(was, 3)).identity.sha256 == own, mark


def test_a_file_that_was_changed_or_removed_is_not_what_it_was(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "b.csv", "c.csv")
    touched, grown, gone = find(source("*.csv"), tmp_path)
    assert all(unchanged_since(delivery.identity) for delivery in (touched, grown, gone))
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    (tmp_path / "b.csv").write_text("longer than before")
    (tmp_path / "c.csv").unlink()
    assert not any(unchanged_since(delivery.identity) for delivery in (touched, grown, gone))


def test_a_file_that_vanishes_before_it_is_read_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    (found,) = find(source("a.csv"), tmp_path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"a\.csv: No such file or directory\.$"):
        identify(found, None)

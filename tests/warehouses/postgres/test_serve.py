"""`assay serve`: the server of a folder for programs that are not assay."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from assay.warehouses.postgres.server.embedded import embedded
from tests.conformance.processes import call, finished, started
from tests.warehouses.postgres.using import asked, is_free, told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "db"
    with embedded(folder) as url:
        told(url, "create table kept as select 42 as answer")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_is_kept_for_other_programs_until_it_is_told_to_end(folder: Path, number: signal.Signals) -> None:
    with started("serve", "--warehouse", f"postgresql:{folder}") as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert asked(url, "select answer from kept") == (42,)
        process.send_signal(number)
        end = finished(process)
    assert (end.returncode, end.stdout, end.stderr) == (0, "", "")
    assert is_free(folder)


def test_its_address_is_told_as_json_too(folder: Path) -> None:
    with started("serve", "--json", "--warehouse", f"postgresql:{folder}") as process:
        assert process.stdout
        document = ""
        while not document.endswith("}\n"):
            document += process.stdout.readline()
        assert asked(json.loads(document)["url"], "select answer from kept") == (42,)
        process.send_signal(signal.SIGINT)
        assert finished(process).returncode == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("lake", "lake: has no server of its own; name postgresql:FOLDER."),
        ("postgresql://me:" + "secret@db/shop", "postgresql://me:***@db/shop: has no server of its own"),
        ("postgresql:none", "holds no warehouse yet; `assay run PIPELINE --warehouse postgresql:"),
    ],
)
def test_what_has_no_server_is_refused(tmp_path: Path, place: str, said: str) -> None:
    end = call("serve", "--warehouse", place, cwd=tmp_path)
    assert (end.returncode, said in end.stderr) == (2, True), end
    assert list(tmp_path.iterdir()) == []

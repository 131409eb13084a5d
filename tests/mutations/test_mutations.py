"""What would lose or double data if it were left out: with each of these changes to the code, tests fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.mutations]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change to one file, and tests of which at least one must fail with it."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


PUBLISH = "tests/conformance/test_warehouse_publish.py"
LEASE = "tests/conformance/test_warehouse_lease.py"
SHARED = "tests/warehouses/test_shared_lake.py"
APART = "tests/orchestrators/test_apart.py"
CRASH = "tests/proof/test_crashtest.py"
TABLES = "tests/warehouses/postgres/test_tables.py"
EXCHANGE = "tests/warehouses/postgres/test_exchange.py"
MUTATIONS = (
    Mutation(
        "rows are exchanged also where a table has not those that its files say",
        "warehouses/postgres/exchange.py",
        "    if deleted != rows_in(manifest.gone):\n        raise _DifferenceError\n",
        "",
        (f"{EXCHANGE}::test_a_table_that_somebody_has_changed_is_written_anew",),
    ),
    Mutation(
        "of files that become one, the rows of the smaller are left under their number",
        "warehouses/postgres/exchange.py",
        "    if others:\n",
        "    if others and False:\n",
        (f"{EXCHANGE}::test_files_that_become_one_are_shown_as_one",),
    ),
    Mutation(
        "the publish transaction is split in two",
        "warehouses/iceberg/store.py",
        "            publishing.write(",
        "        with self._catalog.write() as connection:\n            publishing.write(",
        (f"{PUBLISH}::test_a_reader_never_sees_a_part_of_a_publish",),
    ),
    Mutation(
        "what was read is not compared before publishing",
        "warehouses/publishing.py",
        "        if found != planned:\n",
        "        if found != planned and name in publication.manifests:\n",
        (PUBLISH,),
    ),
    Mutation(
        "a table's pointer is moved wherever it points",
        "warehouses/iceberg/catalog.py",
        "        .where(mine, TABLES.c.metadata_location == base)\n",
        "        .where(mine)\n",
        (
            "tests/runtime/test_publish_iceberg.py::test_what_another_program_commits_while_a_run_is_at_work_is_not_overwritten",
        ),
    ),
    Mutation(
        "a run that was taken over is not fenced",
        "warehouses/lease.py",
        "values(**values)).rowcount != 1:\n",
        "values(**values)).rowcount > 1:\n",
        (LEASE,),
    ),
    Mutation(
        "the token of a run that another process goes on with is not looked at",
        "warehouses/lease.py",
        "    mine = (LEASES.c.run == handle.id) & (LEASES.c.token == handle.token)\n    if connection.execute(update",
        "    mine = LEASES.c.run == handle.id\n    if connection.execute(update",
        (LEASE,),
    ),
    Mutation(
        "a run that was taken over may still record what it staged",
        "warehouses/runs.py",
        "            lease.check(connection, handle)\n            if reading",
        "            if reading",
        (LEASE,),
    ),
    Mutation(
        "a token does not grow at a takeover",
        "warehouses/lease.py",
        "values(**mine, token=LEASES.c.token + 1)",
        "values(**mine, token=LEASES.c.token)",
        (LEASE,),
    ),
    Mutation(
        "a dead owner is taken for alive because another process has its number",
        "warehouses/owner.py",
        "        return _started(self.pid) != self.started\n",
        "        return False\n",
        (LEASE,),
    ),
    Mutation(
        "files are not forced to the disk",
        "warehouses/iceberg/durable.py",
        "        os.fsync(handle)\n",
        "        pass\n",
        (f"{CRASH}::test_every_call_that_changes_the_warehouse_lies_under_a_point_and_is_on_the_disk_in_time",),
    ),
    Mutation(
        "the folder of a new file is not forced to the disk",
        "warehouses/iceberg/durable.py",
        "    for path in (*files, *sorted(folders, reverse=True)):\n",
        "    for path in files:\n",
        (f"{CRASH}::test_every_call_that_changes_the_warehouse_lies_under_a_point_and_is_on_the_disk_in_time",),
    ),
    Mutation(
        "metadata is not forced to the disk",
        "warehouses/iceberg/store.py",
        "for path in added), *new], self.root)",
        "for path in added)], self.root)",
        (f"{CRASH}::test_every_call_that_changes_the_warehouse_lies_under_a_point_and_is_on_the_disk_in_time",),
    ),
    Mutation(
        "rejected rows that change no table are not forced to the disk",
        "warehouses/iceberg/store.py",
        ", *rejected]",
        "]",
        (f"{CRASH}::test_rows_that_are_rejected_again_are_on_the_disk_too_though_they_change_no_table",),
    ),
    Mutation(
        "a manifest counts by its name: the attempt that comes last replaces what was recorded",
        "warehouses/runs.py",
        "            if reading.read_manifests(connection, handle.id, [manifests[0].dataset]):\n"
        "                return\n",
        "            names = [manifest.dataset for manifest in manifests]\n"
        "            mine = (MANIFESTS.c.run == handle.id) & MANIFESTS.c.dataset.in_(names)\n"
        "            connection.execute(MANIFESTS.delete().where(mine))\n",
        ("tests/conformance/test_warehouse_state.py",),
    ),
    Mutation(
        "a staged file counts by its name, whatever is in it",
        "warehouses/iceberg/missing.py",
        "if _sha256(root / file.path) != file.sha256)\n",
        "if not (root / file.path).is_file())\n",
        ("tests/runtime/test_resume.py", "tests/runtime/test_resume_again.py"),
    ),
    Mutation(
        "what a step did is believed though nothing of it stands",
        "warehouses/runs.py",
        "    connection.execute(NODES.delete().where((NODES.c.run == run) & NODES.c.node.in_(steps)))\n",
        "",
        (f"{APART}::test_what_no_longer_stands_is_done_again_before_anything_is_published",),
    ),
    Mutation(
        "of a step that is done twice at once the record is that of the last",
        "runtime/execute.py",
        "    if staged is None or staged.attempt in attempts:\n",
        "    if staged is not None or staged is None:\n",
        (f"{APART}::test_of_a_step_that_is_done_twice_at_once_the_record_is_that_of_the_rows_that_stand",),
    ),
    Mutation(
        "what a snapshot finds of a table that was loaded anew is taken for all of it",
        "sources/postgres/reading.py",
        "    _check_same(connection, source.relation, table)\n",
        "",
        ("tests/sources/postgres/test_reloaded.py::test_what_is_loaded_while_a_run_begins_is_published_whole",),
    ),
    Mutation(
        "slices move on without their data",
        "warehouses/publishing.py",
        "    _move_files(connection, seq, changed)\n",
        "    pass\n",
        (PUBLISH,),
    ),
    Mutation(
        "data are published without their slices",
        "warehouses/publishing.py",
        "    _move_slices(connection, seq, changed)\n",
        "    pass\n",
        (PUBLISH,),
    ),
    Mutation(
        "a ledger that does not balance is published",
        "runtime/publishing/gate.py",
        "    faults = imbalances(pipeline, node)\n",
        "    faults = []\n",
        ("tests/runtime/test_ledger_enforced.py",),
    ),
    Mutation(
        "every function is taken to treat rows apart",
        "runtime/tracing/locality.py",
        "        return False\n    key = anchors",
        "        return True\n    key = anchors",
        ("tests/runtime/test_narrow.py",),
    ),
    Mutation(
        "what a query leaves out behind its end is not seen",
        "runtime/tracing/understood.py",
        'exp.Union: _QUERY | {"this", "expression"}',
        'exp.Union: _QUERY | {"this", "expression", "limit"}',
        ("tests/runtime/test_locality.py",),
    ),
    Mutation(
        "rows with a known key are added beside those that stand",
        "runtime/computing/settle.py",
        'how="anti"))\n        standing',
        'how="left"))\n        standing',
        ("tests/runtime/test_narrow.py", "tests/runtime/test_slices.py"),
    ),
    Mutation(
        "two runs may write the catalog at once",
        "warehouses/iceberg/sqlite.py",
        '"begin immediate" if writes else "begin"',
        '"begin" if writes else "begin"',
        (PUBLISH, LEASE, "tests/test_concurrency.py"),
    ),
    Mutation(
        "a lease holds by the clock, which may be set",
        "warehouses/lease.py",
        "if owner.shares_uptime() else",
        "if owner is None else",
        ("tests/faults/test_clock.py",),
    ),
    Mutation(
        "a vacuum takes mended lines whose run has not begun",
        "warehouses/vacuuming.py",
        "return not replaying and path not in self.plans",
        "return path not in self.plans",
        ("tests/runtime/test_vacuum_replayed.py",),
    ),
    Mutation(
        "a table of a database is published before the others",
        "warehouses/postgres/store.py",
        "                    exchange(connection, root, manifest, state.versions.get(dataset))\n",
        "                    exchange(connection, root, manifest, state.versions.get(dataset))\n"
        "                    content.driver(connection).commit()\n",
        ("tests/warehouses/postgres/test_refused.py",),
    ),
    Mutation(
        "two runs may write the control tables of a database at once",
        "warehouses/postgres/database.py",
        "        connection.execute(select(func.pg_advisory_xact_lock(self._lock)))\n",
        "        connection.execute(select(func.version()))\n",
        (PUBLISH, LEASE),
    ),
    Mutation(
        "the folder of a shared lake keeps the password of its catalog",
        "warehouses/postgres/database.py",
        "address.username, None, address.host",
        "address.username, address.password, address.host",
        (f"{SHARED}::test_rights_and_passwords",),
    ),
    Mutation(
        "a shared lake whose catalog is not found gets a new one",
        "warehouses/iceberg/shared.py",
        "        if not is_there:\n",
        "        if not is_there and self._address is None:\n",
        (f"{SHARED}::test_a_catalog_that_is_lost_is_told_and_never_made_anew",),
    ),
    Mutation(
        "a password is sent in the clear to where only a folder leads",
        "warehouses/iceberg/shared.py",
        '"!password,!md5"',
        '"!md5"',
        (f"{SHARED}::test_rights_and_passwords",),
    ),
    Mutation(
        "a file that a server keeps is taken as it comes",
        "warehouses/postgres/content.py",
        "            if _write(connection, file.path, written) != file.sha256:\n",
        '            if _write(connection, file.path, written) == "":\n',
        (f"{TABLES}::test_a_file_that_is_damaged_in_the_server_is_named",),
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository whose code may be changed."""
    folder = tmp_path_factory.mktemp("mutated") / "repository"
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


def outcome(repository: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run tests on the code of a repository."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = os.environ | {"PYTHONPATH": str(repository / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=repository, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_tests_fail_where(mutation: Mutation, copy: Path) -> None:
    file = copy / "src" / "assay" / mutation.file
    right = file.read_text(encoding="utf-8")
    assert right.count(mutation.old) == 1, "the code has changed: say anew what would break it"
    file.write_text(right.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        ended = outcome(copy, mutation.tests)
    finally:
        file.write_text(right, encoding="utf-8")
    assert ended.returncode == 1, ended.stdout[-2000:]
    assert " failed" in ended.stdout.splitlines()[-1], ended.stdout[-2000:]


def test_the_code_that_is_tested_is_that_of_the_copy(copy: Path) -> None:
    command = [sys.executable, "-c", "import assay; print(assay.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    shown = subprocess.run(command, cwd=copy, env=environment, text=True, capture_output=True, check=True).stdout
    assert Path(shown.strip()).is_relative_to(copy)

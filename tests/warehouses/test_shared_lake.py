"""A lake whose catalog is in PostgreSQL: found by its folder, apart from others, and shared by several machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import assay
from assay import assembly
from assay.model.errors import ConflictError, LeaseError, UsageError, WarehouseError
from assay.model.vacuum import Retention
from assay.settings import Settings
from assay.warehouses.iceberg import signpost
from assay.warehouses.iceberg.shared import SharedCatalog
from assay.warehouses.iceberg.signpost import Signpost
from assay.warehouses.iceberg.store import IcebergWarehouse
from assay.warehouses.postgres.server.embedded import embedded
from tests.conformance.implementations import ADDRESS, ENGINES, WAREHOUSES
from tests.conformance.place import ROOT, Place
from tests.conformance.processes import Finished, call
from tests.conformance.project import ROWS, document, make, told

WORD = "pa55-hunter2"
AS_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
ELSEWHERE = ["unshare", *AS_ROOT, "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
"""Runs a program on what it takes for another machine."""


@pytest.fixture
def url(postgres_url: str) -> str:
    """The address of a database for catalogs."""
    return postgres_url.replace("+psycopg", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project")


@pytest.fixture
def place(tmp_path: Path, url: str) -> Iterator[Place]:
    """Such a lake, with an engine for its files."""
    (tmp_path / ADDRESS).write_text(url)
    with ENGINES["duckdb"]() as engine:
        yield Place("shared lake", tmp_path, WAREHOUSES["shared lake"](tmp_path), engine)


def schemas(url: str) -> list[str]:
    """The schemas of a database that are catalogs of lakes."""
    with psycopg.connect(url) as connection:
        names = connection.execute("select nspname from pg_namespace where nspname like 'assay%' order by 1")
        return [name for (name,) in names]


def well(end: Finished) -> str:
    assert end.returncode == 0, end.stderr
    return end.stdout


def test_once_made_every_command_finds_the_catalog_by_the_folder(project: Path, url: str) -> None:
    first = document(call("run", "orders", "--json", cwd=project, catalog=url))
    assert (first["run"], first["state"]) == (1, "published")
    assert not (project / "lake/catalog.db").exists()
    named = json.loads((project / "lake/catalog.json").read_text())
    assert (unquote(named["address"]), named["schema"]) == (url, schemas(url)[0])
    (project / "data/b.csv").write_text(ROWS.replace("\n1,", "\n11,").replace("10.10", "77"))
    second = document(call("run", "orders", "--json", cwd=project))
    assert (second["run"], second["state"]) == (2, "published")
    count = "select count(*) as rows from silver.order"
    assert json.loads(well(call("sql", count, "--json", cwd=project))) == [{"rows": 4}]
    assert json.loads(well(call("sql", count, "--json", "--at", "1", cwd=project))) == [{"rows": 3}]
    assert [past["id"] for past in json.loads(well(call("history", "--json", cwd=project)))] == [2, 1]
    assert "silver_order" in well(call("diff", "1", "2", cwd=project))
    assert "all are as they were written" in well(call("verify", cwd=project))
    well(call("undo", cwd=project))
    assert json.loads(well(call("sql", count, "--json", cwd=project))) == [{"rows": 3}]
    failed = call("run", "broken", cwd=project)
    assert failed.returncode in (1, 2)
    well(call("vacuum", cwd=project, keep_runs="1", keep_days="0"))
    assert json.loads(well(call("sql", "select count(*) as n from meta.table_version", "--json", cwd=project))) != []
    well(call("vacuum", "--yes", cwd=project, keep_runs="1", keep_days="0"))
    assert "all are as they were written" in well(call("verify", cwd=project))
    assert schemas(url) == [named["schema"]]


def test_a_run_that_failed_is_resumed_without_a_word_of_the_catalog(project: Path, url: str) -> None:
    failing = "shop_orders:broken"
    assert call("run", failing, cwd=project, catalog=url).returncode == 1
    module = project / "shop_orders.py"
    module.write_text(module.read_text().replace("cast(note as bigint)", "length(note)"))
    resumed = call("resume", failing, "--json", cwd=project)
    assert (resumed.returncode, json.loads(resumed.stdout)["run"]) == (0, 1), resumed.stderr


def test_lakes_in_one_database_have_schemas_of_their_own_and_do_not_wait_for_each_other(
    tmp_path: Path, url: str
) -> None:
    with ENGINES["duckdb"]() as engine:
        places = [
            Place(
                "shared lake",
                tmp_path / name,
                IcebergWarehouse(tmp_path / name / "lake", create=True, catalog=catalog),
                engine,
            )
            for name in ("one", "other")
            if (catalog := SharedCatalog(tmp_path / name / "lake", url))
        ]
        one, other = places
        assert one.run(a="select 1 as id") == other.run(a="select 2 as id") == 1
        assert (one.rows("bronze.a"), other.rows("bronze.a")) == ([(1,)], [(2,)])
        assert len(schemas(url)) == 2
        with one.warehouse._writing():
            # Would wait for ever if one lock were for both.
            assert other.run(a="select 3 as id") == 2
        assert (one.rows("bronze.a"), other.rows("bronze.a")) == ([(1,)], [(3,)])


def test_of_many_that_make_a_lake_at_once_all_find_the_same(tmp_path: Path, url: str) -> None:
    lake = tmp_path / "lake"

    def make(pipeline: str) -> int:
        opened = IcebergWarehouse(lake, create=True, catalog=SharedCatalog(lake, url))
        return opened.begin(pipeline, {"as_of": "2024-12-01"}, patience=0).id

    with ThreadPoolExecutor(6) as pool:
        runs = sorted(pool.map(make, "abcdef"))
    assert runs == [1, 2, 3, 4, 5, 6]
    assert len(schemas(url)) == 1
    assert [path.name for path in lake.glob("catalog*")] == ["catalog.json"]


def test_other_programs_open_it_as_a_sql_catalog(place: Place, url: str) -> None:
    place.run(a="select 7 as id")
    (schema,) = schemas(url)
    options = quote(f"-csearch_path={schema}")
    uri = f"{url.replace('postgresql:', 'postgresql+psycopg:')}&options={options}"
    catalog = SqlCatalog("assay", uri=uri, warehouse=place.warehouse.root)
    assert catalog.load_table("bronze.a").scan().to_arrow().to_pylist() == [{"id": 7}]


def test_a_table_of_another_program_under_the_same_name_is_a_conflict(place: Place, url: str) -> None:
    place.run(a="select 1 as id")
    (schema,) = schemas(url)
    handle = place.begin()
    place.stage(handle, "bronze.b")
    with psycopg.connect(url) as connection:
        connection.execute(f"insert into {schema}.iceberg_tables values ('assay', 'bronze', 'b', 'x', null, 'TABLE')")
    before = place.facts()
    with pytest.raises(ConflictError, match=r"bronze\.b: another program has written a table of the same name"):
        place.publish(handle)
    assert place.facts() == before


def test_a_run_of_another_machine_is_taken_for_dead_when_it_was_silent_for_long(place: Place, url: str) -> None:
    place.run("other", z="select 1 as id")
    with place.stranger(around=ELSEWHERE) as (process, lost):
        staged = Path(place.warehouse.root, place.stage(lost, "bronze.a", "select 1 as id").added[0].path)
        process.kill()
        process.wait()
    with pytest.raises(LeaseError, match=f"Run {lost.id} of shop is still at work"):
        place.begin()
    assert place.warehouse.vacuum(None, remove=True).removed
    assert staged.is_file(), "its machine may still be at work"
    with psycopg.connect(url) as connection:
        connection.execute(f"update {schemas(url)[0]}.assay_lease set expires_at = 1")
    mine = place.begin()
    assert mine.token > lost.token
    with pytest.raises(LeaseError, match=f"Run {lost.id} was taken over"):
        place.publish(lost)
    place.stage(mine, "bronze.a", "select 2 as id")
    place.publish(mine)
    assert place.rows("bronze.a") == [(2,)]
    assert place.warehouse.vacuum(None, remove=True).removed
    assert not staged.exists()


def test_a_reader_of_another_process_holds_its_state_against_a_vacuum(place: Place) -> None:
    first = place.run(a="select 1 as id")
    code = "import assay, sys; r = assay.connect(sys.argv[1]); print(flush=True); sys.stdin.read(); "
    code += "print(r.execute('select id from bronze.a').fetchall())"
    command, pipe = [*ELSEWHERE, sys.executable, "-c", code, place.warehouse.root], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as reader:
        assert reader.stdout
        reader.stdout.readline()
        for turn in range(2, 5):
            place.run(a=f"select {turn} as id")
        vacuumed = assay.vacuum(place.warehouse.root, remove=True, settings=Settings(keep_runs=1, keep_days=0))
        assert vacuumed.readers == (first,)
        out, _ = reader.communicate()
    assert out.strip() == "[(1,)]"


def refused(kind: type[Exception], lake: Path, catalog: str = "", *, create: bool = False) -> str:
    with pytest.raises(kind) as found:
        assembly.warehouse(Settings(catalog=catalog), lake, create=create)
    assert WORD not in "".join(traceback.format_exception(found.value))
    return str(found.value)


def test_a_lake_with_a_file_for_its_catalog_gets_no_other(project: Path, url: str) -> None:
    well(call("run", "orders", cwd=project))
    end = call("run", "orders", cwd=project, catalog=url)
    told(end, 2, "lake: has its catalog in catalog.db", "set no `catalog`", "or name a new folder")
    assert schemas(url) == []
    (project / "lake/catalog.json").write_text(Signpost(url, "assay_lake_x_1").to_text())
    assert "has two catalogs, catalog.db and that which catalog.json names" in refused(WarehouseError, project / "lake")


@pytest.mark.parametrize("catalog", ["lake.db", "mysql://etl@db/lakes", f"sqlite:///{WORD}", "postgresql:folder"])
def test_a_catalog_that_is_no_database_is_refused_with_what_is_meant(tmp_path: Path, catalog: str) -> None:
    with pytest.raises(UsageError, match="write postgresql://user@host/database"):
        assembly.warehouse(Settings(catalog=catalog), tmp_path / "lake", create=True)
    assert not (tmp_path / "lake").exists()


def test_where_there_is_no_lake_nothing_is_made_by_looking(tmp_path: Path, url: str) -> None:
    assert "lake: holds no lake yet" in refused(WarehouseError, tmp_path / "lake", url)
    assert assembly.warehouse(Settings(catalog=url), tmp_path / "lake", create=True).history(9) == []
    assert (schemas(url), (tmp_path / "lake").exists()) == ([], False)


def test_a_catalog_that_is_lost_is_told_and_never_made_anew(place: Place, url: str, empty_url: str) -> None:
    place.run(a="select 1 as id")
    lake, (schema,) = Path(place.warehouse.root), schemas(url)
    other = empty_url.replace("+psycopg", "")
    for create in (True, False):
        said = refused(WarehouseError, lake, other, create=create)
        assert f"does not hold its catalog, schema {schema}" in said
        assert "ASSAY_CATALOG or `catalog` says so" in said
    assert schemas(other) == []
    with psycopg.connect(url) as connection:
        connection.execute(f"drop schema {schema} cascade")
    assert "catalog.json in the lake's folder says so" in refused(WarehouseError, lake)


def test_a_folder_that_has_lost_the_file_gets_no_new_catalog(project: Path, url: str) -> None:
    well(call("run", "orders", cwd=project, catalog=url))
    (project / "lake/catalog.json").unlink()
    for settings in ({"catalog": url}, {}):
        told(call("run", "orders", cwd=project, **settings), 2, "lake: has tables, and no catalog that knows them")
    assert len(schemas(url)) == 1
    assert not (project / "lake/catalog.db").exists()


def test_through_another_path_it_can_be_read_and_not_changed(project: Path, tmp_path: Path, url: str) -> None:
    well(call("run", "orders", cwd=project, catalog=url))
    (tmp_path / "mounted").symlink_to(project / "lake")
    there = ("--warehouse", str(tmp_path / "mounted"))
    assert json.loads(well(call("sql", "select count(*) as n from silver.order", *there, "--json"))) == [{"n": 3}]
    for command in (["undo"], ["vacuum", "--yes"], ["run", "orders", "--full"]):
        end = call(*command, *there, cwd=project)
        assert (end.returncode in (1, 2), "This lake was made in another place" in end.stderr) == (True, True), end
    assert "all are as they were written" in well(call("verify", cwd=project))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"address": 1, "schema": 2}', '{"address": "postgresql://db/x", "schema": "assay"}'),
        *('{"address": "sqlite:///x", "schema": "assay_lake_x_1"}', '{"address": "postgresql://db:x/", "schema": "a"}'),
    ],
)
def test_a_file_that_names_no_catalog_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "catalog.json").write_text(text)
    assert "catalog.json: does not name a catalog as assay writes it" in refused(WarehouseError, tmp_path)


def test_a_server_that_cannot_be_reached_is_told_with_who_named_it(tmp_path: Path) -> None:
    nobody = f"postgresql://etl:{WORD}" + f"@/lakes?host={quote(str(tmp_path))}"
    lake = assembly.warehouse(Settings(catalog=nobody), tmp_path / "lake", create=True)
    with pytest.raises(WarehouseError, match=r"etl:\*\*\*@/lakes\S+ connection") as found:
        lake.begin("shop", {"as_of": "2024-12-01"}, patience=0)
    assert WORD not in "".join(traceback.format_exception(found.value))
    (tmp_path / "catalog.json").write_text(Signpost(nobody.replace(f":{WORD}", ""), "assay_lake_x_1").to_text())
    assert "catalog.json in the lake's folder says so; ASSAY_CATALOG names" in refused(WarehouseError, tmp_path)


def test_a_folder_that_cannot_be_written_leaves_nothing_in_the_database(tmp_path: Path, url: str) -> None:
    (tmp_path / "file").touch()
    lake = assembly.warehouse(Settings(catalog=url), tmp_path / "file", create=True)
    with pytest.raises(WarehouseError, match="file: cannot be made a lake"):
        lake.begin("shop", {"as_of": "2024-12-01"}, patience=0)
    assert schemas(url) == []


def test_rights_and_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role without rights is told who has them; a password is needed, kept nowhere, and given to no stranger."""
    with embedded(tmp_path / "server") as address:
        owner = address.replace("+psycopg", "")
        rules = tmp_path / "server/data/pg_hba.conf"
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(f"create role etl login password '{WORD}'")
            rules.write_text(f"local all etl scram-sha-256\n{rules.read_text()}")
            connection.execute("select pg_reload_conf()")
        bare = owner.replace("://assay@", "://etl@")
        right = bare.replace("://etl@", f"://etl:{WORD}@")
        lake = assembly.warehouse(Settings(catalog=right), tmp_path / "lake", create=True)
        with pytest.raises(WarehouseError, match=r"permission denied .* make that run as a role that may") as found:
            lake.begin("shop", {"as_of": "2024-12-01"}, patience=0)
        assert WORD not in "".join(traceback.format_exception(found.value))
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("grant create on database assay to etl")
        lake.begin("shop", {"as_of": "2024-12-01"}, patience=0)
        assert unquote(json.loads((tmp_path / "lake/catalog.json").read_text())["address"]) == bare
        assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file() and WORD in path.read_text()] == []
        said = refused(WarehouseError, tmp_path / "lake")
        assert "no password supplied" in said
        assert "ASSAY_CATALOG names another address, or a password" in said
        monkeypatch.setenv("PGPASSWORD", WORD)
        assert [past.id for past in assay.history(tmp_path / "lake")] == [1]
        # The folder may lead to a server of somebody else, which asks for the password as it is.
        rules.write_text(rules.read_text().replace("local all etl scram-sha-256", "local all etl password"))
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")
        assert "authentication method requirement" in refused(WarehouseError, tmp_path / "lake")
        monkeypatch.setenv("ASSAY_CATALOG", bare)
        assert [past.id for past in assay.history(tmp_path / "lake")] == [1]


def test_the_rights_that_the_page_names_are_enough(place: Place, url: str) -> None:
    run = place.run(a="select 1 as id")
    page = (ROOT / "docs/how-to/shared-lake.md").read_text()
    granted = [line for line in page.splitlines() if line.startswith("grant ")]
    assert len(granted) == 4
    lake, name = Path(place.warehouse.root), url.partition("/test_")[2].partition("?")[0]
    roles = {"etl": f"etl_{name}", "dashboard": f"dashboard_{name}"}
    with psycopg.connect(url, autocommit=True) as connection:
        for role in roles.values():
            connection.execute(f"create role {role} login".encode())
        for line in granted:
            statement = line.replace("assay_lake_shared_1a2b3c4d", schemas(url)[0])
            for role, own in roles.items():
                statement = statement.replace(role, own)
            connection.execute(statement.encode())
    try:
        as_role = {role: Settings(catalog=url.replace("://assay@", f"://{own}@")) for role, own in roles.items()}
        reader = assembly.warehouse(as_role["dashboard"], lake, create=False)
        assert reader.state().versions["bronze.a"].id == run
        with pytest.raises(WarehouseError, match="permission denied"):
            reader.begin("shop", {"as_of": "2024-12-01"}, patience=0)
        with_rights = replace(place, warehouse=assembly.warehouse(as_role["etl"], lake, create=False))
        with_rights.run(a="select 2 as id")
        assert with_rights.warehouse.undo(None, patience=0).undone == (run + 1,)
        assert with_rights.warehouse.vacuum(Retention(runs=1, days=0), remove=True).removed
        assert place.rows("bronze.a") == [(1,)]
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            for role in roles.values():
                connection.execute(f"drop owned by {role}; drop role {role}".encode())


def test_a_password_among_the_parameters_of_an_address_is_kept_out_of_the_folder(tmp_path: Path, url: str) -> None:
    asked = f"{url}&password={WORD}&application_name=lakes"
    assembly.warehouse(Settings(catalog=asked), tmp_path / "lake", create=True).begin(
        "shop", {"as_of": "x"}, patience=0
    )
    found = signpost.read(tmp_path / "lake")
    assert found is not None
    assert WORD not in found.address
    assert "application_name=lakes" in found.address
    assert [past.id for past in assay.history(tmp_path / "lake")] == [1]


@pytest.mark.faults
def test_proofs_leave_the_catalog_of_others_alone(project: Path, url: str) -> None:
    end = call("crashtest", "orders", "--points", "1", "--random", "0", cwd=project, catalog=url)
    assert "nothing was lost" in well(end)
    assert schemas(url) == []

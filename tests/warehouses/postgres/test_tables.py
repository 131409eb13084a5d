"""Tables in PostgreSQL: every client reads there what a lake would hold, of one published run."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import assay
from assay import Append, Merge, Pipeline, csv, latest, table
from assay.model.errors import UsageError, WarehouseError
from assay.settings import Settings
from pipelines.ride_bookings import ride_bookings
from pipelines.ride_bookings.generate import generate
from tests.conformance.processes import content

pytestmark = pytest.mark.usefixtures("copies_apart")
AS_OF = dt.date(2024, 12, 1)
SECRET = "not-to-be-shown"
COLUMNS = {"id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(12,2)", "changed_at": "TIMESTAMP"}
ROWS = 'id,name,amount,changed_at\n1,"it\'s ""a""",1.50,2024-11-01 08:00:00\n2,,2.00,2024-11-01 08:00:00\n'


def orders(folder: Path, **types: str) -> Pipeline:
    @table(write=Append())
    def bronze_order(orders: object) -> object:
        return orders

    @table(write=Merge(), key="id", keep=latest("changed_at"))
    def silver_order(bronze_order: object) -> object:
        return bronze_order

    source = csv(f"{folder}/*.csv", columns=COLUMNS | types)
    return Pipeline("orders", tables=[bronze_order, silver_order], sources={"orders": source})


def deliver(folder: Path, name: str, text: str = ROWS) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def published(folder: Path, url: str) -> Pipeline:
    """Deliver the first orders, and run the pipeline that reads them into a database that was migrated for it."""
    pipeline = orders(folder)
    deliver(folder, "a.csv")
    assay.migrate(pipeline, warehouse=url)
    assert assay.run(pipeline, warehouse=url).ok
    return pipeline


def shown(server: psycopg.Connection[Any], dataset: str = "silver.order") -> list[tuple[Any, ...]]:
    layer, _, entity = dataset.partition(".")
    return server.execute(f'select id, name, amount from "{layer}"."{entity}" order by id').fetchall()


def test_the_rides_are_the_same_in_the_server_as_in_a_lake(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    bookings = generate(tmp_path, rows=600)["bookings"]
    assay.migrate(ride_bookings, warehouse=url)
    lakes = tmp_path / "lake"
    for place in (lakes, url):
        assert assay.run(ride_bookings, warehouse=place, sources={"bookings": bookings}, as_of=AS_OF).ok
    with assay.connect(lakes) as lake, assay.connect(url) as copies:
        assert content(copies) == content(lake)
        for layer, entity in lake.execute(
            "select table_schema, table_name from information_schema.tables where table_schema <> 'meta'"
        ).fetchall():
            columns = [name for name, *_ in lake.execute(f"describe {layer}.{entity}").fetchall()]
            names = ", ".join(f'"{name}"' for name in columns)
            mine = server.execute(f"select {names} from {layer}.{entity}").fetchall()
            assert sorted(map(repr, mine)) == sorted(
                map(repr, lake.execute(f"select {names} from {layer}.{entity}").fetchall())
            ), entity
    again = assay.run(ride_bookings, warehouse=url, sources={"bookings": bookings}, as_of=AS_OF)
    assert again.state == "unchanged"


def test_every_type_comes_through_as_it_is(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    @table()
    def bronze_value(rows: object) -> object:
        return assay.sql(
            "select id, case id when 1 then '' when 2 then 'a''b\"c,\n\\N \\. ' || chr(228) end as text, "
            "case id when 1 then 'nan'::double when 2 then '-inf'::double when 3 then 0.1::double + 0.2 end as x, "
            "0.1::real as y, ('9' || repeat('9', 37))::decimal(38,0) as large, -0.01::decimal(12,2) as small, "
            "id = 1 as flag, date '0001-01-01' as day, time '23:59:59.999999' as clock, "
            "timestamp '9999-12-31 23:59:59.999999' as at, timestamptz '2024-02-29 12:00:00+05:30' as zoned, "
            "'\\x00\\xFF'::blob as bytes, '12345678-1234-4234-8234-123456789abc'::uuid as u from r",
            r=rows,
        )

    deliver(tmp_path / "in", "a.csv", "id\n1\n2\n3\n")
    source = csv(f"{tmp_path}/in/*.csv", columns={"id": "INTEGER"})
    pipeline = Pipeline("values", tables=[bronze_value], sources={"rows": source})
    assay.migrate(pipeline, warehouse=url)
    assert assay.run(pipeline, warehouse=url).ok
    rows = server.execute("select * from bronze.value order by id").fetchall()
    assert [row[1] for row in rows] == ["", "a'b\"c,\n\\N \\. ä", None]
    assert [repr(row[2]) for row in rows] == ["nan", "-inf", "0.30000000000000004"]
    zoned = dt.datetime(2024, 2, 29, 6, 30, tzinfo=dt.UTC)
    first, at = rows[0], dt.datetime.fromisoformat("9999-12-31 23:59:59.999999")
    assert first[4:6] == (Decimal("9" * 38), Decimal("-0.01"))
    assert first[6:11] == (True, dt.date(1, 1, 1), dt.time(23, 59, 59, 999999), at, zoned)
    assert (first[11], str(first[12])) == (b"\x00\xff", "12345678-1234-4234-8234-123456789abc")


def test_an_undo_brings_rows_back_and_the_past_can_be_read(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline = published(tmp_path / "in", url)
    before = shown(server)
    deliver(tmp_path / "in", "b.csv", ROWS.replace("1.50,2024-11-01", "9.00,2024-11-02").replace("\n2,", "\n3,"))
    assay.run(pipeline, warehouse=url)
    assert shown(server) == [(1, 'it\'s "a"', Decimal("9.00")), (2, None, 2), (3, None, 2)]
    (changed,) = [each for each in assay.diff(1, 2, url) if each.table == "silver_order"]
    assert (changed.added, changed.removed, changed.changed) == (1, 0, 1)
    assay.undo(warehouse=url)
    assert shown(server) == before == [(1, 'it\'s "a"', Decimal("1.50")), (2, None, 2)]
    with assay.connect(url, at=2) as past:
        assert past.execute("select count(*) from silver.order").fetchall() == [(3,)]
    assert assay.verify(url).damaged == ()
    assert assay.run(pipeline, warehouse=url).state == "unchanged"


def test_a_run_makes_no_table_and_says_what_does(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    deliver(tmp_path / "in", "a.csv")
    with pytest.raises(UsageError, match=r"lacks tables or columns of this pipeline, .* `assay migrate"):
        assay.run(orders(tmp_path / "in"), warehouse=url)
    assert server.execute("select count(*) from pg_class where relname = 'assay_run'").fetchall() == [(0,)]
    with pytest.raises(WarehouseError, match="holds no warehouse yet"):
        assay.connect(url)


def test_a_migration_is_done_once_and_keeps_what_is_there(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    deliver(tmp_path / "in", "a.csv")
    narrow = orders(tmp_path / "in", amount="INTEGER")
    deliver(tmp_path / "in", "a.csv", ROWS.replace("1.50", "1").replace("2.00", "2"))
    planned = assay.migrate(narrow, warehouse=url, carry_out=False)
    assert server.execute("select count(*) from pg_namespace where nspname = 'assay'").fetchall() == [(0,)]
    assert assay.migrate(narrow, warehouse=url) == planned
    assert assay.migrate(narrow, warehouse=url) == []
    assay.run(narrow, warehouse=url)
    wide = orders(tmp_path / "in", amount="DECIMAL(12,2)", extra="VARCHAR")
    assert [statement.partition(" alter ")[2] or statement for statement in assay.migrate(wide, warehouse=url)] == [
        'column "amount" type DECIMAL(12,2)',
        'alter table "bronze"."order" add column "extra" TEXT',
        'column "amount" type DECIMAL(12,2)',
        'alter table "silver"."order" add column "extra" TEXT',
    ]
    assert shown(server) == [(1, 'it\'s "a"', 1), (2, None, 2)]
    with pytest.raises(UsageError, match=r"bronze\.order: column amount is numeric\(12,2\) in the database and date"):
        assay.migrate(orders(tmp_path / "in", amount="DATE"), warehouse=url)


def test_a_table_of_somebody_else_is_left_alone(tmp_path: Path, url: str, server: psycopg.Connection[Any]) -> None:
    server.execute('create schema bronze; create table bronze."order" (id bigint)')
    with pytest.raises(UsageError, match=r"bronze\.order: is a table in the database that assay has not made"):
        assay.migrate(orders(tmp_path / "in"), warehouse=url)


def test_rows_that_somebody_adds_or_removes_by_hand_are_found(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    published(tmp_path / "in", url)
    server.execute("delete from silver.order where id = 1")
    server.execute('insert into bronze."order" (id, _assay_file) values (7, -1)')
    told = assay.verify(url).damaged
    assert [text.partition(" (")[0] for text in told] == ["bronze.order", "silver.order"]
    assert "1 rows that assay has not published" in told[0]


def test_a_file_that_is_damaged_in_the_server_is_named(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    published(tmp_path / "in", url)
    ((path,),) = server.execute("select path from assay.assay_content where path like 'silver/order/%'").fetchall()
    server.execute("update assay.assay_content set bytes = set_byte(bytes, 9, 7) where path = %s", [path])
    assert assay.verify(url).damaged == (path,)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(WarehouseError, match=f"{path}: is not, byte for byte, as it was written"):
        assay.connect(url)
    server.execute("delete from assay.assay_content where path = %s", [path])
    assert assay.verify(url).damaged == (path,)


def test_who_reads_in_a_transaction_sees_one_run_however_many_are_published(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline = published(tmp_path / "in", url)
    done, differing = threading.Event(), []

    def read() -> None:
        with psycopg.connect(url) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not done.is_set():
                ((bronze,),) = reader.execute('select count(*) from bronze."order"').fetchall()
                ((silver,),) = reader.execute("select count(*) from silver.order").fetchall()
                reader.commit()
                if bronze != silver:
                    differing.append((bronze, silver))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for n in range(8):
            deliver(tmp_path / "in", f"{n}.csv", f"id,name,amount,changed_at\n{n + 10},x,1,2024-11-01 08:00:00\n")
            assert assay.run(pipeline, warehouse=url).state == "published"
    finally:
        done.set()
        thread.join()
    assert differing == []
    assert len(shown(server)) == 10


def test_roles_can_do_what_they_are_for_and_nothing_else(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline, folder = orders(tmp_path / "in"), tmp_path / "in"
    deliver(folder, "a.csv")
    assay.migrate(pipeline, warehouse=url)
    for statement in assay.migrate(pipeline, warehouse=url, roles=True):
        server.execute(statement.encode())
    ((database,),) = server.execute("select current_database()").fetchall()
    users = {role: f"{role}_{database}" for role in ("loader", "reader", "transformer")}
    for role, user in users.items():
        server.execute(f"create role {user} login; grant assay_{role} to {user}".encode())
    places = {role: url.replace("://assay@", f"://{user}@") for role, user in users.items()}
    try:
        assert assay.run(pipeline, warehouse=places["loader"]).ok
        deliver(folder, "b.csv", ROWS.replace("\n1,", "\n5,"))
        assert assay.run(pipeline, warehouse=places["loader"]).ok
        assay.undo(warehouse=places["loader"])
        refused = {
            "loader": (
                "create table silver.x (id int)",
                "drop table silver.order",
                "alter table silver.order add x int",
            ),
            "reader": ("delete from silver.order", "select * from assay.assay_run", "create table silver.x (id int)"),
            "transformer": ("insert into silver.order default values", "select * from assay.assay_content"),
        }
        for role, statements in refused.items():
            with psycopg.connect(places[role], autocommit=True) as connection:
                assert len(shown(connection)) == 2
                for statement in statements:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(statement.encode())
    finally:
        for user in users.values():
            server.execute(f"drop owned by {user}; drop role {user}".encode())


@pytest.mark.row("003-10")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("://assay@", "://nobody_knows@"), "nobody_knows"),
        (("/test_", "/no_test_"), "does not exist"),
        (("://assay@/", f"://etl:{SECRET}@127.0.0.1:1/"), "127.0.0.1"),
    ],
)
def test_an_address_that_is_wrong_is_told_at_once_and_without_its_password(
    tmp_path: Path, url: str, change: tuple[str, str], why: str
) -> None:
    wrong = url.replace(*change).partition("?")[0] if "127" in change[1] else url.replace(*change)
    assert wrong != url
    with pytest.raises(WarehouseError) as told:
        assay.run(orders(tmp_path), warehouse=wrong)
    assert why in str(told.value)
    assert SECRET not in str(told.value)


def test_a_partitioned_table_gets_partitions_when_it_is_migrated(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    @table(write=Append(), partition_by="name")
    def bronze_order(orders: object) -> object:
        return orders

    source = csv(f"{tmp_path}/in/*.csv", columns=COLUMNS)
    pipeline = Pipeline("orders", tables=[bronze_order], sources={"orders": source})
    partitions = (
        "select regexp_replace(c.relname, '_[0-9a-f]{8}$', ''), "
        '(select count(*) from bronze."order" o where o.tableoid = c.oid) from pg_inherits i '
        "join pg_class c on c.oid = i.inhrelid where i.inhparent = 'bronze.\"order\"'::regclass order by 1"
    )
    assay.migrate(pipeline, warehouse=url)
    deliver(tmp_path / "in", "a.csv", ROWS.replace("2,,", "2,North Sea,"))
    assay.run(pipeline, warehouse=url)
    assert server.execute(partitions).fetchall() == [("order_others", 2)]
    assert assay.run(pipeline, warehouse=url, full=True).ok  # rows without a partition of their own stop no run
    assert len(assay.migrate(pipeline, warehouse=url)) == 6
    assert assay.migrate(pipeline, warehouse=url) == []
    assert server.execute(partitions).fetchall() == [("order__orth__ea", 1), ("order_it_s__a_", 1), ("order_others", 0)]
    deliver(tmp_path / "in", "b.csv", ROWS.replace("\n1,", "\n3,").replace("2,,", "4,,"))
    assay.run(pipeline, warehouse=url)
    assert server.execute(partitions).fetchall() == [("order__orth__ea", 1), ("order_it_s__a_", 2), ("order_others", 1)]
    assay.undo(warehouse=url)
    assert [row[0] for row in shown(server, "bronze.order")] == [1, 2]
    assert assay.verify(url).damaged == ()


def test_own_statements_are_carried_out_once_and_views_follow_what_is_published(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline, settings = orders(tmp_path / "in"), Settings(folder=str(tmp_path))
    own = tmp_path / "migrations"
    own.mkdir()
    (own / "1_index.sql").write_text("create index by_name on silver.order (name);")
    (own / "2_view.sql").write_text(
        "create view silver.named as select * from silver.order where name is not null;\n"
        "create materialized view silver.total as select name, sum(amount) as amount from silver.named group by 1;\n"
    )
    deliver(tmp_path / "in", "a.csv")
    with pytest.raises(UsageError, match=r"silver\.total: a materialized view .* needs a unique index"):
        assay.migrate(pipeline, warehouse=url, settings=settings)
    assert server.execute("select count(*) from pg_class where relname = 'by_name'").fetchall() == [(0,)]
    (own / "3_unique.sql").write_text("create unique index on silver.total (name);")
    done = assay.migrate(pipeline, warehouse=url, settings=settings)
    assert done[-1] == "create unique index on silver.total (name);"
    assert assay.migrate(pipeline, warehouse=url, settings=settings) == []
    assay.run(pipeline, warehouse=url)
    total = "select amount from silver.total"
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute(total).fetchall() == [(Decimal("1.50"),)]
        deliver(tmp_path / "in", "b.csv", ROWS.replace("\n1,", "\n3,"))
        assay.run(pipeline, warehouse=url)
        assert reader.execute(total).fetchall() == [(Decimal("1.50"),)]
    assert server.execute(total).fetchall() == [(Decimal("3.00"),)]
    assay.undo(warehouse=url)
    assert server.execute(total).fetchall() == [(Decimal("1.50"),)]
    (own / "1_index.sql").write_text("drop table silver.order;")
    with pytest.raises(UsageError, match=r"1_index\.sql: was changed after it had been carried out"):
        assay.migrate(pipeline, warehouse=url, settings=settings)


def test_a_vacuum_takes_the_files_that_no_kept_state_has_from_the_server_and_from_their_copies(
    tmp_path: Path, url: str, server: psycopg.Connection[Any]
) -> None:
    pipeline, settings = published(tmp_path / "in", url), Settings(keep_runs=0, keep_days=0)
    first = {path for (path,) in server.execute("select distinct path from assay.assay_content").fetchall()}
    deliver(tmp_path / "in", "a.csv", ROWS.replace("1.50", "7.50"))
    assert assay.run(pipeline, warehouse=url).state == "published"
    copies = {path.name for path in (tmp_path / "cache").rglob("*.parquet")}
    told = assay.vacuum(url, settings=settings)
    # Of the source, of bronze and of silver.
    assert (told.removed, told.kinds["data"].count, told.kinds["leftover"].count) == (False, 3, 0)
    with assay.connect(url):
        assert assay.vacuum(url, remove=True, settings=settings).kinds == told.kinds
        assert {path.name for path in (tmp_path / "cache").rglob("*.parquet")} == copies
    left = {path for (path,) in server.execute("select distinct path from assay.assay_content").fetchall()}
    assert (len(left), left & first) == (3, set())
    assert assay.verify(url).damaged == ()
    assert shown(server) == [(1, 'it\'s "a"', Decimal("7.50")), (2, None, 2)]
    with pytest.raises(WarehouseError, match="run 1 is older than what is kept here"):
        assay.connect(url, at=1)


def test_a_place_for_copies_that_cannot_be_made_is_named(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WarehouseError, match=r"file/assay/.*: copies of files cannot be kept here: Not a directory"):
        assay.migrate(orders(tmp_path / "in"), warehouse=url)


def test_a_value_that_the_server_does_not_take_is_told_by_its_table(tmp_path: Path, url: str) -> None:
    @table()
    def bronze_text(rows: object) -> object:
        return assay.sql("select id, 'a' || chr(0) as note from r", r=rows)

    deliver(tmp_path / "in", "a.csv", "id\n1\n")
    source = csv(f"{tmp_path}/in/*.csv", columns={"id": "BIGINT"})
    pipeline = Pipeline("texts", tables=[bronze_text], sources={"rows": source})
    assay.migrate(pipeline, warehouse=url)
    said = r"bronze\.text: the server does not take a value: .*PostgreSQL keeps no text with the character NUL"
    with pytest.raises(WarehouseError, match=said):
        assay.run(pipeline, warehouse=url)
    assert [past.state for past in assay.history(url)] == ["failed"]

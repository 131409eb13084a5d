"""What strace wrote of a run, as points, calls, and what a loss of power would take."""

from __future__ import annotations

from assay.proof.crashing.calls import Call, spread, traced

LAKE = "/data/lake"


def mark(thread: int, when: str, point: str) -> str:
    return f'{thread} write(9</dev/null>, "{when} {point}", 20) = 20'


def write(thread: int, path: str) -> str:
    return f'{thread} pwrite64(5<{LAKE}/{path}>, "PAR1"..., 4, 0) = 4'


def sync(path: str) -> str:
    return f"1 fsync(5<{LAKE}/{path}>) = 0"


def made(thread: int, path: str) -> str:
    return f'{thread} openat(AT_FDCWD</data>, "{LAKE}/{path}", O_WRONLY|O_CREAT|O_EXCL, 0666) = 5<{LAKE}/{path}>'


def test_a_call_lies_under_the_point_of_its_thread() -> None:
    found = traced([mark(1, "before", "begin shop"), write(1, "catalog.db"), mark(1, "after", "begin shop")], LAKE)
    assert (dict(found.under), found.outside) == ({"begin shop": 1}, [])


def test_a_call_before_any_point_and_after_the_last_lies_under_none() -> None:
    point = [mark(1, "before", "begin shop"), mark(1, "after", "begin shop")]
    found = traced([write(1, "catalog.db"), *point, write(1, "catalog.db-journal")], LAKE)
    assert found.outside == ["pwrite64 catalog.db", "pwrite64 catalog.db-journal"]


def test_threads_of_the_engine_write_for_the_point_that_writes_into_their_folder() -> None:
    lines = [mark(2, "before", "write gold/revenue/data"), mark(3, "before", "write silver/order/data")]
    found = traced([*lines, write(7, "silver/order/data/1-1-1-a.parquet"), write(7, "bronze/order/data/a")], LAKE)
    assert dict(found.under) == {"write silver/order/data": 1}
    assert found.outside == ["pwrite64 bronze/order/data/a"]


def test_other_places_do_not_count_nor_does_reading() -> None:
    lines = [
        '1 write(1</dev/pts/0>, "hello", 5) = 5',
        '1 pwrite64(5</data/lake2/catalog.db>, "x", 1, 0) = 1',
        f'1 openat(AT_FDCWD</data>, "{LAKE}/catalog.db", O_RDWR|O_CREAT, 0644) = 5<{LAKE}/catalog.db>',
        "1 +++ exited with 0 +++",
    ]
    found = traced(lines, LAKE)
    assert (found.outside, found.calls, dict(found.under)) == ([], set(), {})


def test_a_file_or_its_folder_that_is_not_forced_to_the_disk_before_the_publish_is_found() -> None:
    staged = [mark(1, "before", "write gold/x/data"), made(1, "gold/x/data/a"), write(1, "gold/x/data/a")]
    publish = [mark(1, "before", "publish")]
    assert traced([*staged, *publish], LAKE).unsynced == {"gold/x/data/a", "gold/x/data"}
    assert traced([*staged, sync("gold/x/data/a"), *publish], LAKE).unsynced == {"gold/x/data"}
    assert traced([*staged, sync("gold/x/data/a"), sync("gold/x/data"), *publish], LAKE).unsynced == set()
    # What is written again must be forced again; what lives as long as the run need not.
    again = [*staged, sync("gold/x/data/a"), sync("gold/x/data"), write(1, "gold/x/data/a")]
    assert traced([*again, made(1, "_assay/runs/1/view/b"), *publish], LAKE).unsynced == {"gold/x/data/a"}


def test_calls_are_counted_by_thread_and_spread_evenly() -> None:
    lines = [write(1, "catalog.db"), write(4, "gold/x/data/a"), write(1, "catalog.db")]
    found = traced(lines, LAKE).calls
    first = [Call("pwrite64", n, first_thread=True) for n in (1, 2)]
    assert found == {*first, Call("pwrite64", 1, first_thread=False)}
    assert len(spread(found, 2)) == 2
    assert spread(found, 9) == sorted(found)

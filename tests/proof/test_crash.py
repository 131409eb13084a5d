"""What must hold after a kill, and the sentence for each thing that does not."""

from __future__ import annotations

from assay.proof.crashing.crash import Ending, Look, judged

BEFORE = Look({"gold_revenue": "1:5", "silver_order": "2:7"})
AFTER = Look({"gold_revenue": "2:6", "silver_order": "3:8"})
WELL = Ending(ok=True)


def test_all_old_then_all_new_is_well() -> None:
    assert judged([BEFORE, BEFORE, AFTER], WELL, BEFORE, AFTER) == ()
    assert judged([AFTER, AFTER], WELL, BEFORE, AFTER) == ()


def test_a_part_of_a_run_is_found_by_the_table_that_is_new() -> None:
    half = Look({"gold_revenue": "2:6", "silver_order": "2:7"})
    (found,) = judged([half, AFTER], WELL, BEFORE, AFTER)
    assert found == "after the kill, a reader sees parts of two runs: gold_revenue is new, others are not"


def test_a_next_run_that_gives_something_else_or_fails_is_found() -> None:
    (found,) = judged([BEFORE, BEFORE], WELL, BEFORE, AFTER)
    assert found == "after the next run, gold_revenue, silver_order is not what an undisturbed run gives"
    (found,) = judged([BEFORE, AFTER], Ending(ok=False, problems=("disk full",)), BEFORE, AFTER)
    assert found == "the next run did not end well: disk full"


def test_a_missing_file_and_a_ledger_that_does_not_balance_are_found() -> None:
    broken = Look(BEFORE.tables, missing=("gold/revenue/data/a.parquet",), unbalanced=("gold_revenue: 1 lost",))
    assert judged([broken, AFTER], WELL, BEFORE, AFTER) == (
        "after the kill, gold/revenue/data/a.parquet is missing",
        "after the kill, gold_revenue: 1 lost",
    )

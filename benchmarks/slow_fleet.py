"""Twenty tables whose rows take their source a second each: what is measured of orchestrators, and no pipeline."""

from __future__ import annotations

from assay import Pipeline, Workflow, ask, postgres, relation, task

URL = "env:SLOW_FLEET_URL"
TABLES = [f"table_{number:02}" for number in range(20)]
VIEWS = """
create schema if not exists slow;
create or replace view slow.{name} as
with waited as materialized (select pg_sleep({seconds}))
select number as id, 'row ' || number as name from waited, generate_series(1, 100) number;
"""

slow_fleet = Pipeline(
    "slow_fleet",
    tables=[],
    sources=postgres(
        URL,
        mode="full",
        together=False,
        tables={
            f"bronze_{name}": relation(f"slow.{name}", columns={"id": "BIGINT", "name": "VARCHAR"}, publish=True)
            for name in TABLES
        },
    ),
)


@task()
def looked_at() -> None:
    """What goes before takes a second, too."""
    ask(URL, "select pg_sleep(1)")


in_phases = Workflow("in_phases", phases={"load": [looked_at, slow_fleet]})
in_sequence = Workflow("in_sequence", phases={"look": [looked_at], "load": [slow_fleet]})

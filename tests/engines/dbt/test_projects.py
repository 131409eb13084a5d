"""Projects as people have them are built out of sight too, built again where they have changed, or refused by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

import assay
from assay import UsageError
from tests.engines.dbt.tiny import LEFT, PROJECT, Tiny

pytestmark = pytest.mark.dbt

BASE = {"raw.orders": "r", "staging.stg_orders": "v", "marts.revenue": "r"}
OWN = """
{%%-  macro  generate_schema_name ( custom_schema_name , node ) -%%}
  %s
{%%- endmacro -%%}
{%%+ macro source(a, b) %%}{{ return(builtins.source(a, b)) }}{%% endmacro %%}
"""
UNIT = """
unit_tests:
  - name: sums
    model: counts
    given:
      - input: ref('stg_orders')
        rows: [{order_id: 1, customer_id: 1, amount: 5}]
    expect:
      rows: [{customer_id: 1, orders: %s}]
"""


def test_macros_that_lead_models_elsewhere_give_way_wherever_they_are(tiny: Tiny) -> None:
    tiny.write({"dbt_project.yml": f"{PROJECT}macro-paths:\n  - own  # not macros\n"})
    tiny.write({"own/names/schema.sql": OWN % "{{ custom_schema_name }}"})
    tiny.model("revenue", "select 1 / 0 as amount")
    assert tiny.run().state == "failed"
    assert (tiny.kinds(), tiny.rows(LEFT)) == ({"raw.orders": "r"}, []), "nothing is built where readers are"
    tiny.model("revenue", "select sum(amount) as amount from {{ ref('stg_orders') }}")
    assert tiny.run().state == "published"
    assert tiny.kinds() == BASE


def test_a_model_that_cannot_be_led_out_of_sight_is_refused(tiny: Tiny) -> None:
    tiny.write({"dbt_project.yml": f'{PROJECT}"macro-paths": [own]\n', "own/schema.sql": OWN % "marts"})
    with pytest.raises(UsageError, match=r"stg_orders stands in the schema public_staging, into which something"):
        tiny.run()
    asked = f"config(schema='{'a' * 39}')"
    tiny.write({"dbt_project.yml": PROJECT, "models/marts/far.sql": "{{ " + asked + " }} select 1 as a"})
    with pytest.raises(UsageError, match=r"far stands in the schema a{39}, whose name is too long: 38 letters are the"):
        tiny.run()
    assert tiny.kinds() == {"raw.orders": "r"}


def test_what_was_parsed_once_is_not_parsed_again_by_builds_of_other_runs(tiny: Tiny, tmp_path: Path) -> None:
    def parses() -> set[tuple[str, int]]:
        return {(str(path), path.stat().st_ino) for path in (tmp_path / "cache").rglob("partial_parse.msgpack")}

    assert tiny.run().state == "published"
    first = parses()
    tiny.change("insert into orders values (4, 103, 1)")
    assert tiny.run().state == "published"
    assert (len(first), parses()) == (1, first), "dbt writes one when it has parsed anything"
    tiny.model("counts", "select count(*) as orders from {{ ref('stg_orders') }}")
    assert tiny.run().state == "published"
    assert len(parses()) == 2
    assert tiny.rows("select orders from marts.counts") == [(4,)]


def test_a_failed_hook_and_a_failed_unit_test_publish_nothing(tiny: Tiny) -> None:
    tiny.write({"dbt_project.yml": f"{PROJECT}on-run-end: [select 1/0]\n"})
    (problem, *_) = tiny.run().problems
    assert "tiny.on-run-end.0 failed, error: division by zero" in problem
    assert tiny.kinds() == {"raw.orders": "r"}

    tiny.write({"dbt_project.yml": PROJECT, "models/unit.yml": UNIT % 2})
    tiny.model("counts", "select customer_id, count(*) as orders from {{ ref('stg_orders') }} group by 1")
    failed = tiny.run()
    (problem, *_) = failed.problems
    assert problem.startswith("dbt failed: marts_counts: test sums fails: actual differs from expected")
    assert failed.nodes["marts_counts"].status == "blocked"

    tiny.write({"models/unit.yml": UNIT % 1})
    assert tiny.run().state == "published"


def test_a_model_is_built_again_when_a_variable_or_a_macro_of_a_package_changes(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tiny.project / "dbt_packages/dbt_rates"
    tiny.write(
        {"packages.yml": "packages: [{local: ../rates}]", "dbt_packages/dbt_rates/dbt_project.yml": "name: dbt_rates"}
    )
    (package / "macros").mkdir()
    (package / "macros/rate.sql").write_text("{% macro rate() %}5{% endmacro %}")
    tiny.write({"dbt_project.yml": f"{PROJECT}vars: {{share: 1}}\n"})
    asked = "{{ dbt_rates.rate() }} as rate, {{ var('share') }} as share, '{{ env_var('TINY_PLACE', '') }}' as place"
    tiny.model("told", f"select {asked}")
    found = []
    for change in (
        lambda: None,
        lambda: (package / "macros/rate.sql").write_text("{% macro rate() %}6{% endmacro %}"),
        lambda: tiny.write({"dbt_project.yml": f"{PROJECT}vars: {{share: 2}}\n"}),
        lambda: monkeypatch.setenv("TINY_PLACE", "Rome"),
    ):
        change()
        result = tiny.run()
        found += tiny.rows("select rate, share, place from marts.told")
    assert found == [(5, 1, ""), (6, 1, ""), (6, 2, ""), (6, 2, "Rome")]
    assert (result.nodes["marts_told"].status, result.nodes["marts_revenue"].attempts) == ("written", 0)


def test_one_version_of_a_model_is_built_where_only_that_must_be(tiny: Tiny) -> None:
    tiny.model("people_v1", "select 1 as id")
    tiny.model("people_v2", "select customer_id as id from {{ ref('stg_orders') }}")
    tiny.write({"models/people.yml": "models: [{name: people, latest_version: 2, versions: [{v: 1}, {v: 2}]}]"})
    assert tiny.run().state == "published"
    tiny.change("insert into orders values (4, 103, 1)")
    assert tiny.run().nodes["marts_people_v1"].attempts == 0
    assert tiny.rows("select count(*) from marts.people_v2") == [(4,)]


def test_a_test_of_several_models_is_run_when_it_changes(tiny: Tiny) -> None:
    tiny.write({"tests/dear.sql": "select * from {{ ref('revenue') }} where amount < 0"})
    assert tiny.run().state == "published"
    tiny.write({"tests/dear.sql": "select * from {{ ref('revenue') }} where amount < 33"})
    (problem, *_) = tiny.run().problems
    assert problem == "dbt failed: dbt: test dear fails (1 found)"


def test_a_view_becomes_a_table_with_all_that_roles_may_do_and_an_undo_makes_it_a_view_again(tiny: Tiny) -> None:
    tiny.model("kind", "{{ config(materialized='view') }} select 2 as a")
    tiny.write({"models/staging/over.sql": "select * from {{ ref('kind') }}"})
    assert tiny.run().state == "published"
    role = "reads_" + tiny.url.partition("?")[0].rpartition("/")[2]
    tiny.execute(f"create role {role}", f"grant select on marts.kind, staging.over to {role}")
    privileges = "select " + ", ".join(
        f"has_table_privilege('{role}', '{name}', 'select')" for name in ("marts.kind", "staging.over")
    )
    try:
        tiny.model("kind", "select 'three' as a")
        assert tiny.run().state == "published"
        assert (tiny.kinds()["marts.kind"], tiny.rows("select * from staging.over")) == ("r", [("three",)])
        assert tiny.rows(privileges) == [(True, True)]
        assay.undo(warehouse=tiny.url)
        assert (tiny.kinds()["marts.kind"], tiny.rows("select * from staging.over")) == ("v", [(2,)])
        assert tiny.rows(privileges) == [(True, True)]
    finally:
        tiny.execute(f"drop owned by {role}", f"drop role {role}")
    tiny.model("revenue", "{{ config(materialized='view') }} select 1 as customer_id")
    runs = len(assay.history(tiny.url))
    told = r"tiny\.revenue is a view, and marts\.revenue a published table with 2 rows; give the view another name"
    with pytest.raises(UsageError, match=told):
        tiny.run()
    assert len(assay.history(tiny.url)) == runs, "nothing was built for it"


def test_what_lies_beside_a_project_is_none_of_it(tiny: Tiny, tmp_path: Path) -> None:
    for folder in (".git", "own-env", "logs"):
        (tiny.project / folder).mkdir()
        (tiny.project / folder / "dbt.log").write_text("x")
    (tiny.project / "own-env/pyvenv.cfg").touch()
    tiny.write({"models/marts/logs/visits.sql": "select 7 as visits"})
    tiny.model("seen", "{{ config(materialized='materialized_view') }} select 1 as a")
    with pytest.raises(UsageError, match=r"seen is a materialized view without a unique index"):
        tiny.run()
    (tiny.project / "models/marts/seen.sql").unlink()
    assert tiny.run().state == "published"
    (tiny.project / "logs/dbt.log").write_text("y")
    assert tiny.run().state == "unchanged"
    assert tiny.rows("select visits from marts.visits") == [(7,)]
    # Of what was refused, and of what was published.
    assert len(list((tmp_path / "cache").rglob("manifest.json"))) == 2


def test_models_are_selected_with_the_table_that_they_read_and_by_it(tiny: Tiny) -> None:
    assert tiny.run(select=["raw_orders+"]).state == "published"
    assert tiny.kinds() == BASE
    assert tiny.rows("select sum(amount) from marts.revenue") == [(Decimal("67.50"),)]
    tiny.change("insert into orders values (4, 103, 1)")
    assert tiny.run(select=["marts_revenue"]).state == "unchanged", "what it reads is taken as it stands"
    assert tiny.run(select=["+marts_revenue"]).state == "published"
    assert tiny.rows("select sum(amount) from marts.revenue") == [(Decimal("68.50"),)]

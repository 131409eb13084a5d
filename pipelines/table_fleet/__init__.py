"""The fleet: twenty tables of a database, looked at, loaded, cleaned up behind and reported on, in phases."""

from assay import Workflow, part
from pipelines.table_fleet.clean_up import clean_expired, clean_leftovers
from pipelines.table_fleet.pre_etl import (
    source_columns,
    source_fresh,
    source_reachable,
    source_rights,
    sources_validated,
    workspace,
)
from pipelines.table_fleet.reports import report, reports_generated, target_equals_source
from pipelines.table_fleet.tables import table_fleet

pre_etl = Workflow(
    "pre_etl",
    phases={
        "reach": [source_reachable, workspace],
        "look": [source_rights, source_columns, source_fresh],
        "tell": [sources_validated],
    },
)

sub_etl = Workflow(
    "sub_etl",
    phases={
        "tables": [part("process_tables", table_fleet, layers=["bronze"])],
        "clean_up": [clean_leftovers, clean_expired],
    },
)

final_etl = Workflow(
    "final_etl",
    phases={
        "totals": [part("totals", table_fleet, layers=["gold"])],
        "report": [target_equals_source, report],
        "tell": [reports_generated],
    },
)

main_etl = Workflow("main_etl", phases={"load": [pre_etl, sub_etl], "finish": [final_etl]})

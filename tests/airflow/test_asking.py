"""What Airflow's form asks is what a run can be asked."""

from __future__ import annotations

from assay.orchestrators.airflow.asking import SOURCES, params_of, params_of_workflow
from assay.orchestrators.opening import OPTIONS
from pipelines.ride_bookings import ride_bookings


def test_the_form_asks_all_that_a_run_can_be_asked_and_where_to_read() -> None:
    assert params_of(ride_bookings, {}).keys() == {*OPTIONS, SOURCES}
    assert params_of_workflow().keys() < OPTIONS.keys()

"""The pages as HTML: templates filled with what was gathered, all of it escaped."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from assay.report import charts
from assay.report.answering import is_numeric, shown
from assay.report.overview import Overview, RunPage

_NONE = "\N{EN DASH}"
_ASSETS = files("assay.report") / "assets"


def environment() -> Environment:
    """Return what fills templates; a name that is not given is an error, and never an empty text."""
    made = Environment(
        loader=PackageLoader("assay.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "seconds": seconds,
        "moment": moment,
        "shown": shown,
        "changed": charts.changed,
        "numeric": is_numeric,
    }
    made.globals |= {"charts_of_runs": charts.of_runs, "chart_of_versions": charts.of_versions, "alone": False}
    return made


def page(made: Environment, template: str, **given: Any) -> str:
    """Return one page of the site."""
    return made.get_template(template).render(given)


def whole_file(made: Environment, overview: Overview, newest: Mapping[str, RunPage]) -> str:
    """Return the status page, with the newest run of each pipeline, as one file that needs nothing beside it."""
    style = asset("page.css").decode()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return page(
        made,
        "file.html",
        alone=True,
        place=overview.place,
        overview=overview,
        newest=newest,
        style=Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )


def asset(name: str) -> bytes:
    """Return a file of the pages, such as page.css."""
    return (_ASSETS / name).read_bytes()


def number(value: int | None) -> str:
    """Return a whole number as people read it."""
    return _NONE if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """Return a time that something took."""
    if value is None:
        return _NONE
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def moment(value: str | dt.datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    if value is None:
        return _NONE
    at = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")

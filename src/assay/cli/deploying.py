"""The command that puts deployments on the server of an orchestrator."""

from __future__ import annotations

import click

from assay import assembly
from assay.cli import options
from assay.cli.printing import put
from assay.model.errors import UsageError
from assay.model.extras import require
from assay.observe.summary import aligned, counted


@click.group()
def deploy() -> None:
    """Put the deployments of assay.toml on a server."""


@deploy.command()
@options.as_json
def prefect(as_json: bool) -> None:
    """Make or renew them on the server of Prefect that PREFECT_API_URL names.

    With them come two pools of workers, a limit of steps that read databases at once, and a rule that starts a flow
    run again whose process is gone.
    """
    require("prefect", "Deploying to Prefect needs", "prefect")
    from assay.orchestrators.prefect.deploying import deploy as deployed

    settings = assembly.current_settings()
    if not settings.deployments:
        raise UsageError("assay.toml declares no deployments: give it a table such as [deployments.nightly], run = ...")
    made = deployed(settings)
    if as_json:
        put([{"deployment": each.full_name, "pool": pool, "cron": each.cron or None} for each, pool in made])
        return
    rows = [(each.full_name, pool, each.cron) for each, pool in made]
    put(
        "\n".join(
            [*aligned([("deployment", "pool", "schedule"), *rows], left=(0, 1, 2)), counted(len(made), "deployment")]
        )
    )

"""What is removed after the tables were loaded: what failed runs left, and states beyond the retention."""

from typing import Any

from assay import TaskRun, task, vacuum


@task(retries=1)
def clean_leftovers(run: TaskRun) -> dict[str, Any]:
    """Remove what runs staged and did not publish; every state stays."""
    return vacuum(run.warehouse, remove=True, leftovers=True).to_json()


@task(retries=1)
def clean_expired(run: TaskRun) -> dict[str, Any]:
    """Remove the states that the settings `keep_runs` and `keep_days` do not keep."""
    return vacuum(run.warehouse, remove=True).to_json()

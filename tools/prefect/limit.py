"""Sets how many steps may read databases at once, on the server that PREFECT_API_URL names, for setup-concurrency."""

from __future__ import annotations

from prefect.client.orchestration import get_client

from assay.assembly import current_settings
from assay.orchestrators.outline import DATABASE
from assay.orchestrators.prefect.deploying import limit_databases

if __name__ == "__main__":
    settings = current_settings()
    with get_client(sync_client=True) as client:
        limit_databases(client, settings)
    print(f"{DATABASE}: {settings.database_limit} at once")

"""How what goes wrong in a task is told to Airflow: in one line, without secrets, and tried again where it may pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_exc

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from assay.model.errors import AssayError, describe
from assay.model.secrets import without_secrets

LOG = logging.getLogger("assay")


@contextmanager
def told() -> Iterator[None]:
    """Raise what Airflow tries again, or does not: what assay itself refuses, it would refuse again."""
    try:
        yield
    except AirflowException:
        raise
    except AssayError as error:
        raise AirflowFailException(describe(error)) from None
    except Exception as error:
        LOG.error(without_secrets(format_exc()))
        raise AirflowException(describe(error)) from None

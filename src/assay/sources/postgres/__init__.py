"""A PostgreSQL database as a source: what its tables are, and how each reading finds what has changed."""

from assay.model.extras import require

require("postgres", "Reading PostgreSQL needs", "psycopg")

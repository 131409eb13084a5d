"""PostgreSQL as a warehouse: tables are rows that every client reads, and the files behind them are kept beside."""

from assay.model.extras import require

require("postgres", "A warehouse or catalog in PostgreSQL needs", "psycopg")

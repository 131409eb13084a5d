"""A PostgreSQL server in a folder: it runs as long as any process uses it, and no longer."""

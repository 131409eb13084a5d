"""A PostgreSQL database as a source: what its tables are, and how each reading finds what has changed."""

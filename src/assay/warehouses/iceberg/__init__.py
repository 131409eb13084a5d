"""The lake: Parquet and Iceberg metadata in a folder, its pointers in a SQLite catalog."""

"""DuckDB as the engine: it reads CSV and Parquet, evaluates frames, and writes Parquet."""

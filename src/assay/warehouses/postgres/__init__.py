"""PostgreSQL as a warehouse: tables are rows that every client reads, and the files behind them are kept beside."""

"""The shop: its source database, and the dbt project that makes staging, intermediate and marts of it."""

"""The models of a dbt project, built and staged as tables are."""

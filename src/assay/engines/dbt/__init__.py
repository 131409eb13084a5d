"""dbt: what builds the models of a project in the database itself."""

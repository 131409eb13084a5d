"""Reading a live PostgreSQL without gaps."""

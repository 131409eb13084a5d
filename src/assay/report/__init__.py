"""Pages for people: what stands in a warehouse, what its runs did, and a place for SQL."""

"""The same rows in every order, in batches and in full: the tables must come out the same."""

"""What functions compute, read from the SQL that they trace to: schemas, fingerprints, and what may be narrowed."""

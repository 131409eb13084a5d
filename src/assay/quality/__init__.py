"""Frame in, verdict out: the checks that tables carry."""

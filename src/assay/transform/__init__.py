"""Frame in, frame out: what table functions are written with."""

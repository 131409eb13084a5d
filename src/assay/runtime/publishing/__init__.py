"""The gate, and the publish of all that a run has staged."""

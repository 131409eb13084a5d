"""The flow of a run: plan, extract, execute, gate, publish."""

"""What puts the steps of a run in order and side by side."""

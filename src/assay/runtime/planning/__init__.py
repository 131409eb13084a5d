"""What a run has to do, and why: deliveries and tables against what is published."""

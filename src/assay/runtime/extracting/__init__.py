"""What is delivered becomes rows of the warehouse, each with its position: files, and tables of databases."""

"""A new pipeline: the files a user begins with, made from readable templates."""

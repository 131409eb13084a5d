"""Commands that put a user's own pipeline to the proof, each in a scratch warehouse of its own."""

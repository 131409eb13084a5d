"""Looking at what is published: judged by what is declared, and rows followed to where they went."""

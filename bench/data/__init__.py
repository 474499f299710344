"""Data sets: the registered ones, a user's own images, their files and their downloads."""

"""Data sets in files: catalogue entries, indexes and digests."""

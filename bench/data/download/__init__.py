"""Fetching, unpacking and verifying the files of data sets."""

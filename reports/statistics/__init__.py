"""Tests and intervals over seeds and data sets."""

"""Runs that are killed at random moments, again and again, and what their stores hold afterwards."""

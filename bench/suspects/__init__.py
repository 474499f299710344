"""Rank training samples whose labels are probably wrong."""

"""Ranking training samples whose labels are probably wrong."""

"""Measure speed on this machine: steps and cells, alone, in packs, and against the naive text tower."""

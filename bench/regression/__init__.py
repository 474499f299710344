"""The regression gate: records against a committed baseline."""

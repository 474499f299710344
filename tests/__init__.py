"""The tests mirror the packages; tests/contracts holds what every plugin must pass."""

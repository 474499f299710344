"""Checks that every method must pass; `bench test PLUGIN` runs them, and so may a plugin's own tests."""

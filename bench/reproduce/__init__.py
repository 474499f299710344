"""Run a record again, and report what differs."""

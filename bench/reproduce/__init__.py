"""Running a record again, and what differs."""

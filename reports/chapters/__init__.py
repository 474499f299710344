"""What a report says in words beside its tables."""

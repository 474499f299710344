"""Options of the methods, declared without torch: what reads records, plans and lists does not wait for it."""

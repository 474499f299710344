"""Settings: packaged defaults, the user's files, and their validation."""

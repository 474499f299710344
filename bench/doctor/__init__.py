"""Find what is wrong with machine, installation, settings and store, and the command that mends it."""

"""Tables as data, one file for each kind."""

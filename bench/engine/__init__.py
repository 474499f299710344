"""Training of a cell: labels, features, the training loop and the audit."""

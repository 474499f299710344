"""The Python API: what the verbs of the command line do, as functions that print nothing unless asked to."""

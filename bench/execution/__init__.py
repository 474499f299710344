"""Planning and running a grid."""

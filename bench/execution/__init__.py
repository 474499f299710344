"""Plan and run a grid."""

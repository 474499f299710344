"""From settings to the cells of a grid, their options and their keys."""

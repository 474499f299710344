"""The report as one HTML file that needs nothing beside it: tables, curves, and a page for every cell."""

"""The report as one HTML file that needs nothing beside it: tables, curves, and a page for every cell."""

from bench.reports.html.page import page

__all__ = ["page"]

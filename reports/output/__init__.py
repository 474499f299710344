"""Writing a report as Markdown and LaTeX."""

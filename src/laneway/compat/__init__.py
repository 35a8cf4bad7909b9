"""Compatibility with Python 3.14 and later: what dependencies support, and what a project's own source uses."""

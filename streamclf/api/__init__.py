"""The library's functions for Python programs."""

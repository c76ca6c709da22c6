"""Widgets, one a file; each shows a part of the snapshot."""

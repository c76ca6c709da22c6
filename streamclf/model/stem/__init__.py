"""A graph cut in two, so that overlapping windows share the layers that come first."""

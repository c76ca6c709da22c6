"""Where a graph can be cut so that overlapping windows share what comes before."""

"""Functions for Python programs, exported by the package `streamclf`."""

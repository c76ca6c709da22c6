"""Checks of an installation: of its results (`verify`) and of its speed (`bench`)."""

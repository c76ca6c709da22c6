"""Recordings on disk or through a pipe: finding, reading and dating them."""

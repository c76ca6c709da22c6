"""Outputs of a live run: written by a thread, rotated, reopened."""

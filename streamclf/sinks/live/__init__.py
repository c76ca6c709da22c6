"""Outputs of a live run: written by a thread of their own, rotated, opened anew."""

"""Recordings: how they are found, read and dated."""

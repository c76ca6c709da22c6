"""Streams: a URL, or standard input."""

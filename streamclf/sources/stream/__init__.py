"""Audio streams from a URL or from standard input."""

"""One widget a file; each shows a part of the picture."""

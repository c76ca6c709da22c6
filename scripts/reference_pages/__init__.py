"""The pages that `scripts/reference.py` writes, a module a kind of source."""

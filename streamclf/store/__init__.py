"""The store: everything that was heard, in one SQLite file that answers questions about it."""

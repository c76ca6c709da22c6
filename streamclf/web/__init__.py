"""The page: what was heard and what sounds now, for any browser."""

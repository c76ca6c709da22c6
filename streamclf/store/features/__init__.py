"""Features of what was heard, kept beside the store: half a second by half a second, in 8 bits."""

"""The run folder: everything about one training, and how to resume it."""

"""The run folder: everything about one training, and how to go on from it."""

"""Where messages go: one kind of target a file."""

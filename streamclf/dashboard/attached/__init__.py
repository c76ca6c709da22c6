"""A running `serve` in this terminal, over the interface of its page."""

"""The training loop: read `fit` from top to bottom."""

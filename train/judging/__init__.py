"""What a network is worth: figures, each from its definition, and pictures."""

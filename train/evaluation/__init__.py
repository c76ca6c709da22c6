"""Evaluation of a network: figures, each from its definition, and pictures."""

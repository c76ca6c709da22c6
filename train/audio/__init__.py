"""Sounds in training: cutting, changing, mixing, and adding noise."""

"""Sounds as training hears them: cut, changed, mixed, and laid over noise."""

"""The model: its file, what runs it, and the scores that it gives."""

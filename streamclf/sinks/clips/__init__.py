"""Audio clips of events."""

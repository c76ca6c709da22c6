"""Simulated microphones: a recording as if it were live, with scripted faults."""

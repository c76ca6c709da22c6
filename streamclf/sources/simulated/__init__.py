"""Simulated microphones, which play a recording as live audio with scripted faults."""

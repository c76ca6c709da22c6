"""Runs: one engine or several, from sources to sinks, for a live stream or many recordings."""

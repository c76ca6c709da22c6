"""Runs: an engine over a source into sinks, for one stream or for many recordings."""

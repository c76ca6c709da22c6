"""Sinks: destinations of results, with one interface (`Sink`), chosen by a file's ending."""

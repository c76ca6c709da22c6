"""Where results go: one contract (`Sink`) for all, chosen by a file's ending."""

"""Where audio comes from: one file a kind, one contract (`Source`) for all."""

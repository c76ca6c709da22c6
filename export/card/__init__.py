"""The card of an exported model: its figures, thresholds and temperature."""

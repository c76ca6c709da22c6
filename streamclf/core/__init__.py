"""What every room may use: records, the card, settings, errors, and small tools."""

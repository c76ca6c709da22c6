"""The command that all networks share."""

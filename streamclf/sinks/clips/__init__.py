"""The audio of each event, as a file."""

"""What every part of training uses: errors, options of commands, recipes."""

"""Basics for every part of training: errors, options of commands, recipes."""

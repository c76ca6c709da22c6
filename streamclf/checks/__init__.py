"""Checks of an installation: is it true (`verify`), is it fast (`bench`)."""

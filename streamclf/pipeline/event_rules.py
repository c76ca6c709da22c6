"""The version of the rules by which events are made from audio.

An archive is heard in days, by programs that may be replaced meanwhile. The version is part of a
run's name, so that events of two rules do not get into one table unnoticed.
"""

EVENT_RULES = 1
"""Raise it with every change by which the same audio, model and settings give other events: mixing,
resampling, windows, averages, begins and ends, kinds of sounds (`streamclf.core.sound_kinds`).
`tests/test_event_rules.py` fails where it was forgotten."""

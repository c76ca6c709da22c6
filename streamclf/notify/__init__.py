"""Telling people and machines what was heard: rules, targets, and MQTT."""

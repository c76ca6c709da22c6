"""Search of the past by example: the moments that are most like a sound."""

"""Teaching of sounds from a few examples, and trying them on the past before they are told."""

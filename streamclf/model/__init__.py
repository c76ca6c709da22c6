"""Models: their files, their execution providers, and the scores that they give to audio."""

"""Learning from a large teacher: what it heard, kept on disk, and the pupil that learns from it."""

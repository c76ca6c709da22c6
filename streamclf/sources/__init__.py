"""Sources of audio: one file for each kind, one interface (`Source`) for all."""

"""Bytes of audio files: where the audio lies, and which length the header states."""

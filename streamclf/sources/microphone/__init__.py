"""The microphone: access to the audio system, and recovery of a lost device."""

"""The microphone: the audio system behind it, and how a lost device is found again."""

"""The path of the audio: mono, resampling, windows, scores, averages, events."""

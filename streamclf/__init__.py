"""streamclf: what is that sound, when did it begin and end, and how sure are you."""

__version__ = "0.1.0"

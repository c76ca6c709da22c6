"""What the bytes of an audio file say: where its audio lies, what its header promises."""

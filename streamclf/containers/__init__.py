"""What the bytes of an audio file say: where its audio lies, what its header promises.

A promise is a claim, never the end: what a decoder delivers is the truth. `survey` splits a file
into parts that one decoder can read from beginning to end; it decodes nothing.
"""

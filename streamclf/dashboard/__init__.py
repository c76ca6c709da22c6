"""The dashboard: a Textual app over the engine. The only package here that imports textual.

The engine runs in its own thread (`listener`) and writes audio and results into the `history`.
The app draws the newest state at its own rate, so that drawing never delays audio. Widgets know
the `snapshot` of one moment and nothing else.
"""

"""The dashboard: a Textual app over the engine. The only package here that imports textual.

The engine runs in a thread of its own (`listener`) and writes what it hears into the `history`;
the app draws the newest state at its own pace, so that no drawing ever delays audio. Widgets
know the `picture` of one moment and nothing else.
"""

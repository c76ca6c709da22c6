"""The graph of an exported model: tracing, number formats, comparison."""

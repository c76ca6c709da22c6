"""The graph of an exported model: how it is made, stored and compared."""

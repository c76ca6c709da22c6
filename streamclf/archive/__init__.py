"""Archives of recordings, heard on as many machines as there are; the results are tables."""

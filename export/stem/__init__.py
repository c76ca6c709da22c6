"""The search for the stem: the part of a graph whose work overlapping windows can share."""

"""Data sets: sources, readers, layouts, and the data doctor."""

"""A plugin of vsezoo, as small as one can be."""

"""A plugin of vsezoo, with a part of every kind."""

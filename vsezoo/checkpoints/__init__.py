"""Checkpoints: where one is, what is in it, and whose parts it needs."""

"""Checkpoints: locate, open, load and write them."""

"""Choices: which of a few captions fits an image, and which of a few images fits a caption."""

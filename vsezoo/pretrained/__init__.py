"""Pretrained weights: opened once for all parts of a model, and left out of its checkpoints."""

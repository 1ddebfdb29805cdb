"""CHAN: a cross-modal hard aligning network for image-text matching (Pan et al. 2023)."""

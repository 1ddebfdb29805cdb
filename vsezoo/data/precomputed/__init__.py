"""Data sets of precomputed image features with captions, in the layouts of the field."""

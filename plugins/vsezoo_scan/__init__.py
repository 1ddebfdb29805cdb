"""SCAN: stacked cross attention for image-text matching (Lee et al. 2018)."""

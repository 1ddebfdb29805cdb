"""SGRAF: similarity graph reasoning and attention filtration for image-text matching (Diao et al. 2021)."""

"""PCME++: probabilistic image-text representations with a closed-form distance (Chun 2024)."""

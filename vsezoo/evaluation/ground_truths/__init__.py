"""Ground truths in addition to a split's own captions: many matches for an image, and many for a caption."""

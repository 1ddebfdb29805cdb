"""Ground truths beside a split's own captions: many matches for an image, and many for a caption."""

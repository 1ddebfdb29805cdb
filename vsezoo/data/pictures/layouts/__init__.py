"""The layouts in which pictures and captions lie in folders, one module each."""

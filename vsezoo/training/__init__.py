"""vsezoo.training."""

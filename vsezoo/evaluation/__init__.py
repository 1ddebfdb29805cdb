"""vsezoo.evaluation."""

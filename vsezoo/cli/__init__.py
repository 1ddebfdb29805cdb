"""vsezoo.cli."""

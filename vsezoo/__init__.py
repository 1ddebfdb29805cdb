"""vsezoo: a plugin-based model zoo for visual-semantic embeddings."""

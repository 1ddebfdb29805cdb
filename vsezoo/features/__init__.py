"""Pictures to feature files: the extraction, which can be stopped at any moment and shared by processes."""

"""General encoders that recipes compose; each is found through its entry point."""

"""General encoders for recipes; each is found through its entry point."""

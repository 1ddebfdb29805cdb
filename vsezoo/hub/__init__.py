"""What the Hub shows of a model: its card."""

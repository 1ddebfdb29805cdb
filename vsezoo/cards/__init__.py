"""Model cards: the `README.md` of a checkpoint, which the Hub shows."""

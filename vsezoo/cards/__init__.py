"""Model cards: the `README.md` of a checkpoint, shown on the Hub."""

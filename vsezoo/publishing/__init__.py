"""Publishing: a checkpoint goes to the Hub with its card, its figures and its curves."""

"""Publishing: upload a checkpoint to the Hub with its card, figures and training curves."""

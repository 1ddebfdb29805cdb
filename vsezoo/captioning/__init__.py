"""Caption generation from image regions: the decoder, its loss, and beam search."""

"""Captions written from the regions of an image: the decoder, the loss that trains it, and the search for words."""

"""Data: sources, readers, and the batches that training draws from them."""

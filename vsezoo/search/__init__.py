"""Search: embed a collection of images or sentences, cache the embeddings, find the nearest items to a query."""

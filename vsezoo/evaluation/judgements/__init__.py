"""Protocols that compare a model's scores with what people say about pairs."""

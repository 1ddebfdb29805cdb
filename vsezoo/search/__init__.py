"""Images and sentences of one's own: embed a collection, keep what was computed, find what is nearest to a query."""

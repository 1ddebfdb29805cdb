"""The report of an evaluation as a page: what the figures are made of."""

"""Comparisons of models from per-query results: intervals, paired tests, tables. Imports no torch."""

"""Evaluation: exact ranks, metrics, the field's protocols, and reports."""

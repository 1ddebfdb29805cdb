"""Evaluation: exact ranks, metrics, standard protocols, and reports."""

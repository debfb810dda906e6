"""Correlations: which incidents are one, by rules that are data: a parent and its children."""

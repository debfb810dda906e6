"""Outcomes: whether what was delivered worked."""

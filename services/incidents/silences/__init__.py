"""Silences and maintenance windows: when which alerts count for nothing. Data, recurring or not."""

"""Integrations: who may send signals, as which source, how much, and how that is proven."""

"""Mappings: how the bodies of a sender that nobody wrote an adapter for become signals. Data, not code."""

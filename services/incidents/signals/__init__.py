"""Signals: what alert senders say, from the bytes of their own formats to stored occurrences."""

"""Measurements of this project's own speed; nothing here is imported by a service."""

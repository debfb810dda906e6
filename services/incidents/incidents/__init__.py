"""Incidents: their lifecycle, their timeline, and what deals with their cause."""

"""Candidates: themes that ask for a decision, with their reasons, their evidence and their score."""

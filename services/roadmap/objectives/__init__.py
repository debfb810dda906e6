"""Objectives: what the business wants, and what items serve."""

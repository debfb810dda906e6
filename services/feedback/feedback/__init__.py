"""Feedback: what operators, customers and stakeholders say, and their votes."""

"""Themes of recurring pain, the evidence for each, when one escalates, and whether a fix worked."""

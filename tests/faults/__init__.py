"""Breaks Groundswell on purpose, and checks afterwards that it kept its promises."""

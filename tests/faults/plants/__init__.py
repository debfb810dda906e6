"""Bugs that were made elsewhere, by people who knew what they did; planted here in the real code.

Each module plants in one part of the road. A plant replaces functions while its block runs.
"""

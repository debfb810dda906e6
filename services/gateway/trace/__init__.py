"""The trace: one incident's whole road, from its signals to the verdict on the fix."""

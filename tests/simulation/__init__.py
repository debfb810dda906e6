"""The real services in one process, stepped by a seed: every order, every fault, the same result."""

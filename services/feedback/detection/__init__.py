"""Detection: the policies, and the pure rules that say when a theme rises and falls."""

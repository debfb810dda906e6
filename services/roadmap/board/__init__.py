"""What people look at across the nouns: the roadmap, and an objective with its items. Reads only."""

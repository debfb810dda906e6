"""The roadmap service: products, plans, candidates, items, capacity, scores and alignment."""

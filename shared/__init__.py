"""Plumbing that knows no business: contracts, database, outbox, inbox, bus, HTTP edge."""

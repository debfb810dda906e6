"""Separate processes, over PostgreSQL and Kafka. A package, so that its system ends with its tests."""

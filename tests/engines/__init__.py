"""Real engines for tests: started, stopped and killed by the tests themselves, with no Docker."""

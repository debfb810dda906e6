"""The evidence ledger: what speaks for a theme, one row per source, and the horizon of time."""

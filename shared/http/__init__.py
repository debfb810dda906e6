"""The HTTP edge that every service shares: errors, pages, idempotency, commands, fields."""

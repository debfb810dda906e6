"""One adapter per sender's format: `parse(body, received_at) -> list[Signal]`, pure."""

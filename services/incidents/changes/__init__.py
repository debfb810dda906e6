"""Changes: what was deployed, released or configured, and when. Often the reason of an incident."""

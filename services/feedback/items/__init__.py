"""What the roadmap decided, as far as this service has heard: candidates and items."""

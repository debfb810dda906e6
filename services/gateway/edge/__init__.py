"""The road of a request to its service: plain ASGI wrappers, one concern each."""

"""The replay: brings the audit log of another tool in, through the HTTP API, at its own event times."""

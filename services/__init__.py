"""The services. None imports another; they meet over events and over HTTP."""

"""The incidents service: catalog, signals, incidents and their timeline."""

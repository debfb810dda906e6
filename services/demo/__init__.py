"""The demo: a recorded webshop's alerts, to be sent to a running Groundswell."""

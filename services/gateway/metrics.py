"""What the gateway itself counts. Labels are bounded: never a key, never a path."""

from prometheus_client import Counter

refused = Counter(
    "gateway_refused_total", "Requests refused before any service saw them.", ["reason"]
)
hops_failed = Counter(
    "gateway_hops_failed_total",
    "Requests that a service in another process did not answer.",
    ["service", "error"],
)

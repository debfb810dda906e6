"""What the gateway itself counts. Labels are bounded: never a key, never a path."""

from prometheus_client import Counter

refused = Counter(
    "gateway_refused_total", "Requests refused before any service saw them.", ["reason"]
)

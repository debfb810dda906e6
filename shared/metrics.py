"""Every metric of the plumbing, named and explained once. Labels are bounded: never an id.

A service's domain metrics stand in its own `metrics.py`.
"""

from types import ModuleType

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

http_requests = Counter(
    "http_server_requests_total",
    "Requests answered, by route template.",
    ["service", "route", "method", "code"],
)
http_duration = Histogram(
    "http_server_request_duration_seconds",
    "Seconds from the request's first byte to its answer's last.",
    ["service", "route", "method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
requests_refused = Counter(
    "http_server_requests_refused_total", "Requests refused because too many were in hand."
)
connections_refused = Counter(
    "http_server_connections_refused_total", "Connections refused because too many were open."
)
events_sent = Counter(
    "outbox_events_sent_total", "Events the relay handed to the bus.", ["service"]
)
outbox_pending = Gauge("outbox_pending", "Events committed and not yet on the bus.", ["service"])
outbox_oldest_age = Gauge(
    "outbox_oldest_age_seconds", "Age of the oldest event not yet on the bus.", ["service"]
)
events_handled = Counter(
    "consumer_events_total", "Events taken in, by what became of them.", ["group", "result"]
)
consumer_lag = Gauge(
    "consumer_lag_records", "Records sent and not yet committed.", ["group", "topic", "partition"]
)
event_age = Histogram(
    "event_age_seconds",
    "Seconds from the writing of an event to its handling.",
    ["group"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
inbox_duplicates = Counter(
    "inbox_duplicates_total", "Events delivered again and dropped by the inbox.", ["group"]
)
consumer_held = Gauge(
    "consumer_held",
    "1 while a partition waits for an event whose handler fails.",
    ["group", "topic", "partition"],
)
consumer_halted = Gauge(
    "consumer_halted", "1 while a consumer stands still at a run of dead letters.", ["group"]
)
dead_letters = Counter(
    "dead_letters_total", "Events set aside because they can't be read.", ["topic", "reason"]
)
job_failures = Counter(
    "job_failures_total", "Background jobs that failed and were restarted.", ["task"]
)
bus_commits_lost = Counter(
    "bus_commits_lost_total", "Offsets not committed; their events come again.", ["group", "reason"]
)
bus_rejoins = Counter(
    "bus_rejoins_total", "Members that lost their client and joined anew.", ["group"]
)


def forget(module: ModuleType, kind: type[MetricWrapperBase] = MetricWrapperBase) -> None:
    """Stop exporting this module's metrics of that kind: this process doesn't do what they count."""
    for metric in list(vars(module).values()):
        if isinstance(metric, kind):
            REGISTRY.unregister(metric)

"""Lantern, the webshop of the demo: its services, and the alert rules that watch them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

PROMETHEUS_URL = "http://prometheus.lantern.example:9090"
ALERTMANAGER_URL = "http://alertmanager.lantern.example:9093"

SERVICES: tuple[dict[str, Any], ...] = (
    {
        "name": "gateway-edge",
        "product": "Storefront",
        "owner": "team-edge",
        "tier": 1,
        "dependencies": ["catalogue", "search", "checkout", "accounts"],
    },
    {
        "name": "catalogue",
        "product": "Storefront",
        "owner": "team-browse",
        "tier": 2,
        "dependencies": [],
    },
    {
        "name": "search",
        "product": "Storefront",
        "owner": "team-browse",
        "tier": 2,
        "dependencies": ["catalogue"],
    },
    {
        "name": "checkout",
        "product": "Checkout",
        "owner": "team-checkout",
        "tier": 1,
        "dependencies": ["payments", "orders-db", "accounts"],
    },
    {
        "name": "payments",
        "product": "Checkout",
        "owner": "team-checkout",
        "tier": 1,
        "dependencies": ["orders-db"],
    },
    {
        "name": "accounts",
        "product": "Accounts",
        "owner": "team-identity",
        "tier": 2,
        "dependencies": [],
    },
    {
        "name": "orders-db",
        "product": "Orders",
        "owner": "team-orders",
        "tier": 1,
        "dependencies": [],
    },
    {
        "name": "delivery",
        "product": "Orders",
        "owner": "team-orders",
        "tier": 3,
        "dependencies": ["orders-db"],
    },
)
"""The catalog. `loyalty-beta` raises alerts and isn't listed: somebody forgot to register it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One alert rule, and how often and how long what it watches goes wrong."""

    name: str
    service: tuple[str, str]
    """The label that names the service, and its value: teams differ in which one they set."""
    severities: tuple[str, ...]
    """Drawn from with equal chance."""
    summary: str
    """With {host}, {port}, {value}."""
    description: str
    expr: str
    hosts: int
    port: int
    values: tuple[float, float]
    decimals: int = 0
    weekly: tuple[int, ...] | float
    """Incidents in each of the twelve weeks, or the mean of a steady Poisson process."""
    lasts: float
    """Median minutes of an incident."""
    customers: tuple[int, int] | None = None
    joins: float = 0.0
    """Chance that a further host is struck within minutes."""
    flaps: float = 0.0
    """Chance that it comes back within minutes of its end."""
    burst: int = 1
    """Hosts struck at once."""
    lingers: bool = False
    """One more incident begins shortly before the stream ends, and outlasts it."""

    @property
    def generator_url(self) -> str:
        return f"{PROMETHEUS_URL}/graph?g0.expr={quote_plus(self.expr)}&g0.tab=1"


PAIN = Rule(
    name="PaymentsConnectionPoolExhausted",
    service=("service", "payments"),
    severities=("critical", "critical", "high"),
    summary="Connection pool of {host} is exhausted: {value} requests wait for a connection",
    description="Payments waits for connections to orders-db; customers see the spinner, then an "
    "error at the last step of checkout. Restarting the instance helps for a while.",
    expr='sum by (instance) (pool_pending{service="payments"}) > 20',
    hosts=4,
    port=8443,
    values=(21, 180),
    weekly=(3, 6, 4, 6, 4, 7, 5, 7, 0, 1, 0, 0),
    lasts=38,
    customers=(60, 900),
)
"""The theme of the story: it grows for eight weeks, then a fix is delivered."""

SECOND = Rule(
    name="SearchIndexStale",
    service=("service", "search"),
    severities=("high", "warning"),
    summary="The index of {host} is {value} minutes behind the catalogue",
    description="New and sold-out articles show wrongly in search until the index catches up.",
    expr='(time() - search_index_last_commit_seconds{job="search"}) / 60 > 30',
    hosts=3,
    port=9200,
    values=(31, 140),
    weekly=(1, 1, 0, 1, 1, 2, 2, 3, 3, 4, 4, 3),
    lasts=75,
    customers=(10, 220),
    joins=0.15,
    lingers=True,
)

STEADY = (
    Rule(
        name="CheckoutErrorRateHigh",
        service=("service", "checkout"),
        severities=("high",),
        summary="{value} % of orders fail on {host}",
        description="More than 2 % of order submissions answer 5xx for ten minutes.",
        expr='100 * sum by (instance) (rate(http_errors_total{service="checkout"}[10m])) > 2',
        hosts=4,
        port=8443,
        values=(2.1, 19.0),
        decimals=1,
        weekly=1.5,
        lasts=24,
        customers=(5, 150),
    ),
    Rule(
        name="CheckoutLatencyHigh",
        service=("service", "checkout"),
        severities=("warning",),
        summary="99th percentile of {host} is {value} s",
        description="The slowest hundredth of checkout requests takes longer than 3 s.",
        expr='histogram_quantile(0.99, rate(http_seconds_bucket{service="checkout"}[5m])) > 3',
        hosts=4,
        port=8443,
        values=(3.1, 9.5),
        decimals=1,
        weekly=1.6,
        lasts=19,
    ),
    Rule(
        name="PaymentProviderTimeouts",
        service=("service", "payments"),
        severities=("warning",),
        summary="{value} calls to the card provider timed out on {host}",
        description="The provider's status page is the first thing to look at.",
        expr='sum by (instance) (increase(provider_timeouts_total{service="payments"}[15m])) > 25',
        hosts=4,
        port=8443,
        values=(26, 240),
        weekly=1.3,
        lasts=33,
    ),
    Rule(
        name="CatalogueCacheHitRatioLow",
        service=("service", "catalogue"),
        severities=("warning",),
        summary="Cache hit ratio of {host} fell to {value} %",
        description="Pages come from the database instead; they are slow, not wrong.",
        expr='100 * cache_hits{service="catalogue"} / cache_lookups{service="catalogue"} < 70',
        hosts=6,
        port=8080,
        values=(31, 69),
        weekly=1.2,
        lasts=48,
        joins=0.2,
    ),
    Rule(
        name="AccountsLoginFailuresHigh",
        service=("app", "accounts"),
        severities=("warning",),
        summary="{value} failed logins a minute on {host}",
        description="Either somebody tries passwords, or we broke the login.",
        expr='60 * sum by (instance) (rate(login_failures_total{app="accounts"}[5m])) > 90',
        hosts=3,
        port=8080,
        values=(91, 700),
        weekly=1.2,
        lasts=27,
    ),
    Rule(
        name="OrdersDbReplicationLag",
        service=("service", "orders-db"),
        severities=("warning",),
        summary="Replica {host} is {value} s behind",
        description="Reads of order history show old data while this lasts.",
        expr='pg_replication_lag_seconds{service="orders-db"} > 60',
        hosts=3,
        port=9187,
        values=(61, 900),
        weekly=1.5,
        lasts=41,
        flaps=0.25,
    ),
    Rule(
        name="OrdersDbDiskFillingUp",
        service=("service", "orders-db"),
        severities=("warning",),
        summary="Disk of {host} will be full in {value} hours",
        description="Linear prediction over the last six hours.",
        expr='predict_linear(node_filesystem_avail_bytes{service="orders-db"}[6h], 86400) < 0',
        hosts=3,
        port=9100,
        values=(6, 23),
        weekly=0.6,
        lasts=950,
        lingers=True,
    ),
    Rule(
        name="DeliveryQueueBacklog",
        service=("app", "delivery"),
        severities=("warning",),
        summary="{value} parcels wait for a label on {host}",
        description="Labels are printed late; the last pick-up is at 18:00.",
        expr='label_queue_length{app="delivery"} > 400',
        hosts=5,
        port=8080,
        values=(401, 3_900),
        weekly=1.2,
        lasts=95,
        joins=0.25,
    ),
    Rule(
        name="DeliveryCarrierErrors",
        service=("app", "delivery"),
        severities=("info",),
        summary="The carrier's interface answers {value} % errors to {host}",
        description="Requests are repeated; tell the carrier if it lasts a day.",
        expr='100 * rate(carrier_errors_total{app="delivery"}[15m]) > 10',
        hosts=5,
        port=8080,
        values=(11, 88),
        weekly=1.2,
        lasts=130,
    ),
    Rule(
        name="GatewayEdgeInstanceDown",
        service=("job", "gateway-edge"),
        severities=("high",),
        summary="{host} has not answered for {value} minutes",
        description="The load balancer has taken it out; capacity is lower.",
        expr='up{job="gateway-edge"} == 0',
        hosts=8,
        port=9443,
        values=(3, 9),
        weekly=1.1,
        lasts=16,
        joins=0.15,
        flaps=0.25,
    ),
    Rule(
        name="LoyaltyPointsJobFailed",
        service=("service", "loyalty-beta"),
        severities=("warning",),
        summary="The nightly points run on {host} left {value} customers out",
        description="Start it again by hand after 06:00.",
        expr='loyalty_points_failed_customers{service="loyalty-beta"} > 0',
        hosts=2,
        port=8080,
        values=(1, 4_000),
        weekly=0.9,
        lasts=210,
    ),
)
"""What goes wrong everywhere, all the time, and is nobody's project."""


def _rare(
    name: str, service: str, severity: str, summary: str, expr: str, weekly: str, **more: Any
) -> Rule:
    """`weekly` is a digit for each week."""
    defaults: dict[str, Any] = {"hosts": 3, "port": 8080, "values": (2, 90), "lasts": 45}
    return Rule(
        name=name,
        service=("service", service),
        severities=(severity,),
        summary=summary,
        description="Rare; the runbook says what to do.",
        expr=expr,
        weekly=tuple(int(digit) for digit in weekly),
        **(defaults | more),
    )


RARE = (
    _rare(
        "CatalogueImportFailed",
        "catalogue",
        "warning",
        "Import on {host} refused {value} articles",
        "catalogue_import_refused > 0",
        "010000100010",
    ),
    _rare(
        "SearchReplicaMissing",
        "search",
        "high",
        "{host} sees {value} shards without a replica",
        "search_shards_unassigned > 0",
        "001000000100",
    ),
    _rare(
        "AccountsTokenSigningSlow",
        "accounts",
        "warning",
        "Signing a token takes {value} ms on {host}",
        "token_signing_milliseconds > 50",
        "000010010000",
        values=(51, 400),
    ),
    _rare(
        "OrdersDbDeadlocks",
        "orders-db",
        "high",
        "{value} deadlocks in ten minutes on {host}",
        "increase(pg_deadlocks_total[10m]) > 3",
        "100001000010",
        values=(4, 60),
    ),
    _rare(
        "GatewayEdgeErrorRatioHigh",
        "gateway-edge",
        "page",
        "{value} % of all requests fail at {host}",
        '100 * rate(edge_errors_total{service="gateway-edge"}[5m]) > 5',
        "000100000001",
        customers=(300, 4_000),
        values=(6, 55),
    ),
    _rare(
        "GatewayEdgeCertificateExpiring",
        "gateway-edge",
        "info",
        "The certificate of {host} expires in {value} days",
        "(probe_ssl_earliest_cert_expiry - time()) / 86400 < 21",
        "010000001000",
        hosts=4,
        lasts=6_500,
        values=(11, 20),
        burst=4,
    ),
    _rare(
        "GatewayEdgeConfigReloadFailed",
        "gateway-edge",
        "warning",
        "{host} runs on the configuration of {value} minutes ago",
        "edge_config_reload_success == 0",
        "000000010000",
        hosts=8,
        burst=7,
    ),
)
"""What happens, and does not come back often enough to be anybody's plan."""

RULES = (PAIN, SECOND, *STEADY, *RARE)

"""Gives every incident the key of the theme it belongs to, from what it says about itself.

A pure rule: the same words give the same key today, tomorrow and on another machine. A change
that moves any title to another key is a new RULE_VERSION, never an edit of this one's meaning.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache

RULE_VERSION = 1

TITLE_LIMIT = 512
"""Characters of a title that take part in its template; a mask counts as one."""

_RAW_LIMIT = 12 * TITLE_LIMIT
"""Read no further than this: longer than any template, so a template is never cut."""

# A boundary that, unlike \b, also falls between a letter or digit and an underscore.
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_MIXED = r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])"
_SIGN = r"(?:(?<![\w>)\]])[-+])?"
_UNIT = r"(?:[ ]?%|[kKMGTP]i?[bB]?|[bB]|x)?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[ ]?(?:Z|UTC|GMT|[AP]M|[+-]\d{2}:?\d{2}))?"
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,6}"
_TIME_UNIT = (
    r"(?:(?i:nanoseconds?|microseconds?|milliseconds?|seconds?|minutes?|hours?|days?|weeks?"
    r"|msecs?|secs?|mins?|hrs?)|ns|us|µs|μs|ms|s|m|h|d|w)"
)
_LENGTH = rf"\d+(?:\.\d+)?[ ]?{_TIME_UNIT}"
# Endings that are host names and not also file suffixes or words of code: "main.py",
# "order.created" and "java.lang.OutOfMemoryError" tell pains apart and must survive.
_TOP_LEVEL = (
    "com|net|org|edu|gov|mil|info|biz|io|dev|app|cloud|tech|online|local|localdomain|internal"
    "|intra|intranet|lan|corp|home|svc|test|example|invalid|localhost|arpa"
    "|at|au|be|br|ca|ch|cn|cz|de|dk|es|eu|fi|fr|ie|il|jp|kr|mx|nl|nz|pt|ru|se|sg|ua|uk|us|za"
)
# The alphabet of the random endings of pod names: no vowels, and no digits that look like them.
_POD = "[bcdfghjklmnpqrstvwxz2456789]"
_GROUP = r"[0-9a-f]{1,4}"


def _mask(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(pattern, flags)


# In this order. A mask's name holds letters only, so that no mask ever matches inside another.
_MASKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", _mask(r"[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}")),
    ("url", _mask(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s<>\"']+")),
    (
        "host",
        _mask(
            rf"(?<![\w.@-])(?:[a-z0-9_][a-z0-9_-]{{0,62}}\.)+(?:{_TOP_LEVEL})(?::\d{{1,5}})?"
            r"(?![\w-]|\.\w)"
            r"|(?<![\w.-])localhost(?::\d{1,5})?(?![\w.-])"
            rf"|{_START}ip(?:-\d{{1,3}}){{4}}{_END}"
            # A pod's host name is its workload's name and a random ending: mask the ending.
            r"|(?<=\w-)(?=[a-z]*\d[a-z]*\d)(?=\d*[a-z])[a-z0-9]{6,10}-[a-z0-9]{5}(?![\w-])"
            rf"|(?<=\w-)(?=[a-z]*\d)(?=\d*[a-z]){_POD}{{5}}(?![\w-])"
        ),
    ),
    (
        "ip",
        _mask(
            r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?::\d{1,5})?(?!\w|\.\d)"
            rf"|(?<![\w:])(?:{_GROUP}:){{7}}{_GROUP}(?:/\d{{1,3}})?(?![\w:])"
            rf"|(?<![\w:])(?=[0-9a-f:]{{0,40}}\d)(?:{_GROUP}(?::{_GROUP}){{0,6}})?::"
            rf"(?:{_GROUP}(?::{_GROUP}){{0,6}})?(?:/\d{{1,3}})?(?![\w:])"
        ),
    ),
    (
        "traceparent",
        _mask(rf"{_START}[0-9a-f]{{2}}-[0-9a-f]{{32}}-[0-9a-f]{{16}}-[0-9a-f]{{2}}{_END}"),
    ),
    ("uuid", _mask(rf"{_START}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{_END}")),
    ("sha", _mask(rf"{_START}[0-9a-f]{{40}}{_END}")),
    ("md", _mask(rf"{_START}[0-9a-f]{{32}}{_END}")),
    (
        "date",
        _mask(
            rf"{_START}(?:"
            rf"\d{{4}}[-/.]\d{{2}}[-/.]\d{{2}}(?:[T ]{_CLOCK})?"
            rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:\d{{4}}|\d{{2}})(?:[ ]{_CLOCK})?"
            rf"|\d{{1,2}}[ -]{_MONTH}[ -]\d{{4}}(?:[ ]{_CLOCK})?"
            rf"|{_MONTH}[ ]\d{{1,2}}(?:,?[ ]\d{{4}})?(?:[ ]{_CLOCK})?"
            rf"|{_CLOCK}"
            rf"){_END}"
        ),
    ),
    ("duration", _mask(rf"{_START}{_SIGN}{_LENGTH}(?:[ ]?{_LENGTH})*{_END}", re.NOFLAG)),
    ("hex", _mask(rf"{_START}(?:0x[0-9a-f]+|{_MIXED}[0-9a-f]{{8,}}){_END}")),
    ("gitsha", _mask(rf"{_START}{_MIXED}[0-9a-f]{{7}}{_END}")),
    # One word for both kinds of number: what reads "95 %" today reads "95.5 %" tomorrow.
    (
        "number",
        _mask(
            rf"{_START}{_SIGN}v?\d+(?:(?:\.\d+)+(?:e[-+]?\d+)?|e[-+]?\d+){_UNIT}{_END}", re.NOFLAG
        ),
    ),
    (
        "number",
        _mask(
            # "5xx" and "p99" are terms; the 12 of "node12" is a number.
            rf"{_START}{_SIGN}(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?!xx){_UNIT}{_END}"
            rf"|(?<=[A-Za-z]{{2}})\d+{_END}",
            re.NOFLAG,
        ),
    ),
    ("quoted", _mask(r"(?<==)[ ]?(?:\"[^\"]*\"|'[^']*')")),
    ("bool", _mask(rf"(?<==)(?:true|false){_END}")),
)

_CUT = re.compile(
    rf"(?:<(?:{'|'.join(sorted({name for name, _ in _MASKS}))})>|.){{0,{TITLE_LIMIT}}}", re.DOTALL
)

_STABLE_LABELS = frozenset(
    {
        "app",
        "application",
        "category",
        "component",
        "environment",
        "job",
        "module",
        "namespace",
        "subcategory",
        "subsystem",
        "symptom",
        "team",
        "workload",
    }
)
_SAME_LABEL = {"env": "environment", "sub_category": "subcategory", "sub_system": "subsystem"}


@lru_cache(maxsize=20_000)
def template(title: str) -> str:
    """What stays of a title when everything that varies between occurrences is masked.

    Idempotent, and bounded whatever the input: TITLE_LIMIT characters take part, and every
    pattern runs in time linear in them. Each round of masks eats at least one character that no
    mask had eaten, so the rounds end; nearly always the second one changes nothing.
    """
    cut = _CUT.match(" ".join(title[:_RAW_LIMIT].split()))
    text = cut.group().rstrip() if cut else ""
    while (masked := _mask_once(text)) != text:
        text = masked
    return text


def _mask_once(text: str) -> str:
    for name, pattern in _MASKS:
        text = pattern.sub(f"<{name}>", text)
    return text


def stable_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that say what hurts, under one spelling each; never those that say where.

    An allow-list, because labels that name one machine (instance, pod, container id, node, host,
    ip, replica, shard, run id …) are many, new with every exporter, and a single one let through
    gives every occurrence a theme of its own, so that nothing ever recurs. A label wrongly left
    out merely joins two pains of one service and alert, which a person can split again. Severity
    stays out: a theme keeps its key while it gets worse. ServiceNow's custom fields carry a "u_".
    """
    found: dict[str, str] = {}
    for name, value in sorted(labels.items()):
        plain = name.strip().lower().removeprefix("u_")
        plain = _SAME_LABEL.get(plain, plain)
        if plain in _STABLE_LABELS and value.strip():
            found.setdefault(plain, value.strip())
    return found


def theme_key(
    product: str, service: str, alert_name: str | None, title: str, labels: Mapping[str, str]
) -> str:
    """The key of the theme: "v1:" and the SHA-256 of what makes two incidents one pain.

    Letter case and spacing never tell two themes apart. Label values count as they are, unmasked:
    "Category 42" and "Category 55" differ in nothing but a number and are two pains.
    """
    parts = (
        product.strip(),
        service.strip(),
        (alert_name or "").strip(),
        template(title),
        sorted(stable_labels(labels).items()),
    )
    words = json.dumps(parts, ensure_ascii=True, separators=(",", ":")).casefold()
    return f"v{RULE_VERSION}:{hashlib.sha256(words.encode()).hexdigest()}"

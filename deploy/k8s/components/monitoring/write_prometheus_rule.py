"""Writes prometheus-rule.yaml: the rules of deploy/prometheus as the Prometheus operator wants them.

Run it after a change of deploy/prometheus/rules.yaml; a test compares the two.
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[2] / "prometheus" / "rules.yaml"
TARGET = HERE / "prometheus-rule.yaml"

HEAD = """\
# Written by write_prometheus_rule.py from deploy/prometheus/rules.yaml: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: groundswell
  labels:
    app.kubernetes.io/name: groundswell
    app.kubernetes.io/part-of: groundswell
spec:
"""


def prometheus_rule(rules: str) -> str:
    """The text of the manifest that carries these rules, comments and all."""
    body = rules[rules.index("groups:") :]
    return HEAD + "".join(f"  {line}\n" if line else "\n" for line in body.splitlines())


if __name__ == "__main__":
    TARGET.write_text(prometheus_rule(RULES.read_text()))

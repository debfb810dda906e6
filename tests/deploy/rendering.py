"""Renders the overlays as a cluster would get them, and finds its way in what comes out."""

import copy
import functools
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"

STANDALONE = ("small", "production")
DISTRIBUTED = ("distributed-small", "distributed-production")
FOLDERS = {
    "small": K8S / "overlays" / "small",
    "production": K8S / "overlays" / "production",
    "distributed-small": K8S / "distributed" / "overlays" / "small",
    "distributed-production": K8S / "distributed" / "overlays" / "production",
}
OVERLAYS = tuple(FOLDERS)

Manifest = dict[str, Any]
Rendered = list[Manifest]

GONE = object()
"""Stands for «this is not there», where None could be a value."""


def tool(name: str, how_to_get_it: str) -> str:
    """The path of a program; fails the test, with the way to mend it, where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on the PATH, and these tests need it. {how_to_get_it}")
    return found


def kubectl() -> str:
    return tool(
        "kubectl",
        "Install the package kubernetes-client (Debian 13 or newer) or kubectl (of the Kubernetes "
        "project); it has to be 1.27 or newer, older ones can't read these kustomizations.",
    )


def promtool() -> str:
    return tool("promtool", "Install Debian's package prometheus, which brings it.")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints; fails the test with what it said where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)
    if done.returncode != 0:
        pytest.fail(f"{command[0]} {command[1]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def _render(overlay: str) -> Rendered:
    return list(yaml.safe_load_all(run(kubectl(), "kustomize", FOLDERS[overlay])))


def rendered(overlay: str) -> Rendered:
    """Every object of an overlay. Shared among the tests: spoil a copy of one, with `spoiled`."""
    return _render(overlay)


def find(objects: Rendered, target: str) -> Manifest | None:
    """The object named `Kind/name`, where name may be a pattern. None where there isn't exactly one."""
    kind, name = target.split("/")
    hits = [o for o in objects if o["kind"] == kind and fnmatch(o["metadata"]["name"], name)]
    return hits[0] if len(hits) == 1 else None


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path (numbers index lists); GONE where nothing does."""
    for step in path.split("."):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return GONE
    return value


def spoiled(objects: Rendered, target: str, path: str, value: Any) -> Rendered:
    """The objects, of which the target is a copy: `path` in it is `value`, or gone where that is GONE."""
    original = find(objects, target)
    manifest: Any = copy.deepcopy(original)
    objects = [manifest if found is original else found for found in objects]
    parent, _, last = path.rpartition(".")
    holder = at(manifest, parent) if parent else manifest
    key: Any = int(last) if isinstance(holder, list) else last
    if value is GONE:
        del holder[key]
    else:
        holder[key] = value
    return objects

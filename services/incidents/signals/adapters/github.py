"""GitHub's webhooks of deployments and releases, which are recorded as changes.

The event's name is in the header `X-GitHub-Event`, and the body may be a form, as GitHub's own
settings propose it. What is no deployment under way or over, and no published release, is nothing
to record: GitHub sends whatever a repository's owner has ticked.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from urllib.parse import parse_qs

import msgspec

from services.incidents.changes.domain import Change, State
from services.incidents.signals import signal as rules

SOURCE = "github"

_STATES: dict[str, State] = {
    "in_progress": "in_progress",
    "success": "done",
    "failure": "failed",
    "error": "failed",
}
"""Not here: `pending`, `queued` and `waiting`, when nothing has changed yet, and `inactive`, which
is said of an older deployment when a newer one took its place."""

_PUBLISHED = ("published", "released", "prereleased")
"""GitHub sends two of these for one release. `created` and `edited` are also sent of drafts."""

_FORM = "application/x-www-form-urlencoded"

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Account(msgspec.Struct, gc=False):
    """Who did it."""

    login: str = ""


class Repository(msgspec.Struct, gc=False):
    """Where it was done. Its name is what the service is called."""

    name: str
    full_name: str
    html_url: str | None = None


class Deployment(msgspec.Struct, gc=False):
    """What is being deployed. Fields that aren't named here are ignored."""

    id: Id
    sha: str | None = None
    ref: str | None = None
    task: str | None = None
    environment: str | None = None
    description: str | None = None


class DeploymentStatus(msgspec.Struct, gc=False):
    """How far a deployment is. Fields that aren't named here are ignored."""

    state: str
    environment: str | None = None
    description: str | None = None
    created_at: str | None = None
    creator: Account | None = None
    log_url: str | None = None
    target_url: str | None = None
    environment_url: str | None = None


class WorkflowRun(msgspec.Struct, gc=False):
    """The run of GitHub Actions that deploys, where one does."""

    name: str | None = None
    html_url: str | None = None


class DeploymentStatusEvent(msgspec.Struct, gc=False):
    """The body of `deployment_status`."""

    deployment_status: DeploymentStatus
    deployment: Deployment
    repository: Repository
    workflow_run: WorkflowRun | None = None


class Release(msgspec.Struct, gc=False):
    """A release. Fields that aren't named here are ignored."""

    id: Id
    tag_name: str
    name: str | None = None
    body: str | None = None
    draft: bool = False
    prerelease: bool = False
    published_at: str | None = None
    target_commitish: str | None = None
    html_url: str | None = None
    author: Account | None = None


class ReleaseEvent(msgspec.Struct, gc=False):
    """The body of `release`."""

    action: str
    release: Release
    repository: Repository


_DEPLOYMENT_STATUS = msgspec.json.Decoder(DeploymentStatusEvent)
_RELEASE = msgspec.json.Decoder(ReleaseEvent)


def parse_change(body: bytes, received_at: datetime, headers: Mapping[str, str]) -> Change | None:
    """The change that one delivery tells of; None when there is nothing to record, as of a `ping`.

    `headers` by their lower-case names. Raises BadBody.
    """
    event = headers.get("x-github-event", "")
    if not event:
        raise rules.bad("X-GitHub-Event", "is missing; send the header as GitHub does")
    if event == "deployment_status":
        return _deployed(rules.decoded(_DEPLOYMENT_STATUS, _json(body, headers)), received_at)
    if event == "release":
        return _released(rules.decoded(_RELEASE, _json(body, headers)), received_at)
    return None


def _json(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The document; a form has it in its field `payload`."""
    if not headers.get("content-type", "").strip().lower().startswith(_FORM):
        return body
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=10)
        (payload,) = fields["payload"]
    except (ValueError, KeyError):  # ValueError: not ASCII, not UTF-8, too many, or not one
        advice = "is a form without a readable field `payload`; choose application/json"
        raise rules.bad("body", advice) from None
    return payload.encode()


def _deployed(said: DeploymentStatusEvent, received_at: datetime) -> Change | None:
    status, deployment, repository = said.deployment_status, said.deployment, said.repository
    state = _STATES.get(status.state)
    if state is None:
        return None
    run = said.workflow_run or WorkflowRun()
    environment = _line(status.environment or deployment.environment)
    revision = _line(deployment.sha)
    what = _line(deployment.ref, 100) or revision[:7] or "a deployment"
    where = f" to {environment}" if environment else ""
    description = status.description or deployment.description
    return Change(
        source=SOURCE,
        external_ref=f"deployment/{deployment.id}/{environment}",
        kind="deployment",
        title=rules.one_line(rules.storable(f"{repository.full_name}: {what}{where}")),
        service=_line(repository.name) or None,
        at=_happened(status.created_at, "deployment_status.created_at", received_at),
        state=state,
        environment=environment or None,
        revision=revision or None,
        url=_first_address(status.log_url, status.target_url, run.html_url, repository.html_url),
        details=_kept(
            repository=repository.full_name,
            ref=deployment.ref,
            task=deployment.task,
            by=status.creator.login if status.creator else "",
            description=description,
            workflow=run.name,
            environment_url=rules.web_address(status.environment_url),
        ),
    )


def _released(said: ReleaseEvent, received_at: datetime) -> Change | None:
    release, repository = said.release, said.repository
    if release.draft or said.action not in _PUBLISHED:
        return None
    name = _line(release.name) or _line(release.tag_name)
    return Change(
        source=SOURCE,
        external_ref=f"release/{release.id}",
        kind="release",
        title=rules.one_line(rules.storable(f"{repository.full_name}: {name}")),
        service=_line(repository.name) or None,
        at=_happened(release.published_at, "release.published_at", received_at),
        revision=_line(release.tag_name) or None,
        url=_first_address(release.html_url, repository.html_url),
        details=_kept(
            repository=repository.full_name,
            ref=release.target_commitish,
            by=release.author.login if release.author else "",
            prerelease="yes" if release.prerelease else "no",
            notes=release.body,
        ),
    )


def _happened(text: str | None, field: str, received_at: datetime) -> datetime:
    return rules.bounded(rules.moment(text, field), None, received_at)[0]


def _line(text: str | None, limit: int = rules.MAX_NAME) -> str:
    return rules.one_line(rules.storable(text or ""), limit)


def _first_address(*texts: str | None) -> str | None:
    return next((address for text in texts if (address := rules.web_address(text))), None)


def _kept(**texts: str | None) -> dict[str, str]:
    return {name: rules.shortened(rules.storable(text)) for name, text in texts.items() if text}

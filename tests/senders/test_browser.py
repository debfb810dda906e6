"""A real browser opens the documentation: it works without any other host, and complains of nothing."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect, sync_playwright

from services.gateway.openapi import operations
from tests.senders.groundswell import Groundswell
from tests.senders.programs import binary

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # Not even a look-up of a name leaves the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 20_000


@dataclass
class Seen:
    """What the browser asked for, and what it complained of."""

    page: Page
    elsewhere: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=binary("chromium"), args=ARGUMENTS, timeout=PATIENCE_MS
        )
        yield running
        running.close()


@pytest.fixture
def seen(browser: Browser, system: Groundswell) -> Generator[Seen]:
    """A fresh page that reaches nothing but Groundswell, and notes what else it wanted."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    one = Seen(context.new_page())
    here = urlsplit(system.url).netloc

    def only_here(route: Route, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("data", "blob") or address.netloc == here:
            route.continue_()
        else:
            one.elsewhere.append(request.url)
            route.abort()

    context.route("**/*", only_here)
    one.page.on(
        "console",
        lambda said: (
            one.complaints.append(said.text) if said.type in ("error", "warning") else None
        ),
    )
    one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
    one.page.on("requestfailed", lambda request: one.complaints.append(request.url))
    one.page.on(
        "response",
        lambda answer: (
            one.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    yield one
    context.close()


def test_the_documentation_shows_every_operation_and_needs_no_other_host(
    system: Groundswell, seen: Seen, tmp_path: Path
) -> None:
    documented = len(list(operations(system.get("/openapi.json"))))
    seen.page.goto(f"{system.url}/", timeout=PATIENCE_MS)
    assert urlsplit(seen.page.url).path == "/docs"
    shown = seen.page.locator(".opblock")
    expect(shown).to_have_count(documented, timeout=PATIENCE_MS)
    expect(seen.page.locator(".info .title")).to_contain_text("Groundswell")
    picture = tmp_path / "docs.png"
    seen.page.screenshot(path=picture)
    assert picture.stat().st_size > 20_000, "an empty page is smaller"
    assert seen.elsewhere == []
    assert seen.complaints == []


def test_an_operation_can_be_tried_from_the_documentation(system: Groundswell, seen: Seen) -> None:
    page = seen.page
    page.goto(f"{system.url}/docs", timeout=PATIENCE_MS)
    page.locator("button.authorize").first.click(timeout=PATIENCE_MS)
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").first.fill(system.api.headers["Authorization"].partition(" ")[2])
    dialog.locator("button.authorize").first.click()
    dialog.locator("button.btn-done").first.click()
    block = page.locator(".opblock", has_text="Incidents and signals in numbers")
    block.locator(".opblock-summary-control").click()
    block.locator("button.try-out__btn").click()
    block.locator("button.execute").click()
    status = block.locator(".live-responses-table .response-col_status").last
    expect(status).to_contain_text("200", timeout=PATIENCE_MS)
    assert seen.elsewhere == []
    assert seen.complaints == []


def test_the_other_documentation_page_lacks_nothing_but_the_logo_of_its_maker(
    system: Groundswell, seen: Seen
) -> None:
    seen.page.goto(f"{system.url}/redoc", timeout=PATIENCE_MS)
    heading = seen.page.get_by_role("heading", name="Groundswell").first
    expect(heading).to_be_visible(timeout=PATIENCE_MS)
    assert seen.elsewhere == []
    # The page's own policy keeps it from asking another host for it.
    assert [said for said in seen.complaints if "logo-mini.svg" not in said] == []

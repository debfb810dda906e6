"""`groundswell dead-letters` against a running process."""

import json
import sqlite3
from contextlib import closing

from shared.clock import rfc3339, utc_now
from shared.context import Context
from shared.contracts.feedback import EvidenceRecorded
from shared.envelope import Record, encode
from tests.standalone.conftest import Process, groundswell


def recorded() -> Record:
    """An event that the incidents service listens to."""
    now = utc_now()
    data = EvidenceRecorded(
        theme_id="thm_1",
        at=now,
        product="Checkout",
        service="payments",
        title="Payments fail",
        incident_ids=["inc_1"],
    )
    ctx = Context("feedback", "tester", now, "cor_test")
    return encode(ctx.event(data, subject="thm_1", version=1, at=now))


def put(process: Process, letter_id: str, record: Record) -> None:
    """Set a record aside behind the process's back, as an earlier release did."""
    letter = {
        "id": letter_id,
        "consumer": "incidents.themes",
        "topic": record.topic,
        "partition": 0,
        "offset": 1,
        "key": record.key,
        "headers": json.dumps(dict(record.headers)),
        "value": record.value,
        "reason": "not known \x1b[31mthen",
        "recorded_at": rfc3339(utc_now()),
        "digest": letter_id,
    }
    columns = ", ".join(f'"{name}"' for name in letter)
    values = ", ".join("?" for _ in letter)
    with closing(sqlite3.connect(process.data / "incidents.sqlite3", timeout=30)) as conn:
        conn.execute(
            f"INSERT INTO dead_letters ({columns}) VALUES ({values})", tuple(letter.values())
        )
        conn.commit()


def run(process: Process, *arguments: str) -> str:
    done = groundswell("dead-letters", *arguments, env=process.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_letters_are_listed_shown_and_replayed(process: Process) -> None:
    put(process, "ded_1", recorded())
    put(process, "ded_2", Record("feedback.events", "k", {}, b"\x1b[2Jnot JSON"))
    listed = run(process, "list", "incidents")
    assert "ded_1" in listed
    assert "ded_2" in listed
    shown = run(process, "show", "incidents", "ded_2")
    assert "not JSON" in shown
    assert "\x1b" not in listed + shown, "what a stranger sent must not steer the terminal"

    refused = groundswell("dead-letters", "replay", "incidents", "ded_2", env=process.env)
    assert refused.returncode == 1
    assert "Deploy what can read it" in refused.stderr
    assert run(process, "replay", "incidents") == "1 replayed, 1 still can't be.\n"
    assert "ded_1 is replayed" in run(process, "replay", "incidents", "ded_1")
    assert "ded_1" not in run(process, "list", "incidents")
    every = json.loads(run(process, "list", "incidents", "--all", "--json"))
    assert {letter["id"]: bool(letter["replayed_at"]) for letter in every["items"]} == {
        "ded_1": True,
        "ded_2": False,
    }


def test_a_run_is_let_pass_or_there_is_none(process: Process) -> None:
    assert "There is no run" in run(process, "resume", "roadmap")
    with closing(sqlite3.connect(process.data / "roadmap.sqlite3", timeout=30)) as conn:
        conn.execute("INSERT INTO dead_letter_runs (consumer, length) VALUES ('roadmap', 3)")
        conn.commit()
    assert "roadmap: 3 in a row let pass" in run(process, "resume", "roadmap")
    assert "There is no run" in run(process, "resume", "roadmap")


def test_a_wrong_name_is_a_sentence(process: Process) -> None:
    unknown = groundswell("dead-letters", "show", "incidents", "ded_x", env=process.env)
    assert unknown.returncode == 1
    assert "no dead letter 'ded_x'" in unknown.stderr
    nobody = groundswell(
        "dead-letters", "resume", "incidents", "--consumer", "nobody", env=process.env
    )
    assert nobody.returncode == 1
    assert "incidents.themes" in nobody.stderr

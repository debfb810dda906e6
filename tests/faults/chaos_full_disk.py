"""A disk that fills up under load, and is freed: refusals meanwhile, nothing lost, nothing to mend.

The disk is a small tmpfs, mounted in a namespace of its own, so that it needs no right and leaves
nothing behind: everything runs in a process that `unshare` starts there.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.chaos_load import Load
from tests.faults.chaos_scenarios import probing, until_accepted
from tests.faults.chaos_system import embedded
from tests.faults.chaos_walk import Outcome, judge
from tests.faults.client import new_signal

SIZE = 48
"""Megabytes of the disk."""
LEFT = 256 * 1024
"""Bytes that the filling leaves, so that the end comes in the middle of a write."""
FULL_SECONDS = 8.0
MOST_SECONDS = 240


async def full_disk() -> Outcome:
    """Run this module where a disk can be mounted; its outcome, or why it could not be."""
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-m", __name__]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
    )
    if done.returncode:
        why = f"the full disk did not run: {(done.stdout + done.stderr)[-3000:]}"
        return Outcome("full disk", problems=[why])
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


async def fill_and_free(folder: Path) -> Outcome:
    """Under load: fill the disk, look at what senders are told, free it, and judge."""
    disk = _mounted(folder / "disk")
    outcome = Outcome("full disk")
    loop = asyncio.get_running_loop()
    async with embedded(folder, disk / "data") as system:
        async with Load(system, random.Random(1)).running(), probing(system) as sender:
            await asyncio.sleep(1)
            filler = disk / "filler"
            _fill(disk, filler)
            over, statuses = loop.time() + FULL_SECONDS, []
            while loop.time() < over:
                statuses.append(await sender.post([new_signal()]))
                await asyncio.sleep(0.1)
            filler.unlink()
            if 503 not in statuses:
                outcome.problems.append(f"a full disk was told to nobody: {set(statuses)}")
            if odd := set(statuses) - {202, 503}:
                outcome.problems.append(f"a full disk was answered {odd}")
            await until_accepted(sender, outcome)
            await asyncio.sleep(1)
        await judge(system, outcome)
        outcome.facts["refused_while_full"] = statuses.count(503)
    return outcome


def _mounted(disk: Path) -> Path:
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "none", disk], check=True)
    return disk


def _fill(disk: Path, filler: Path) -> None:
    free = os.statvfs(disk)
    size = max(free.f_bavail * free.f_frsize - LEFT, 0)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="groundswell-disk-") as folder:
        try:
            outcome = asyncio.run(fill_and_free(Path(folder)))
        finally:
            subprocess.run(["umount", Path(folder) / "disk"], check=False)
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()

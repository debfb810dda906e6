"""The senders' tests never skip: what is missing fails, and says what to install."""

from pathlib import Path

import pytest

from tests.senders.programs import PACKAGES, binary


@pytest.mark.parametrize("name", PACKAGES)
def test_a_program_that_is_missing_fails_with_its_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=f"apt-get install {PACKAGES[name]}`$"):
        binary(name)

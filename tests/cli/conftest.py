"""Commands as a person gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from gpusched.cli.main import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def gpusched(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """gpusched("status", path): exit code, output, errors; in this process."""

    def call(*words: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 1, captured.out, captured.err)

    return call

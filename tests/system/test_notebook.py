"""What runs this process."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gpusched.system.notebook import kernel


def made(module: str) -> Any:
    """An object of a class of that module."""
    return type("Kernel", (), {"__module__": module})()


@pytest.mark.parametrize(
    ("shell", "found"),
    [
        (None, False),
        (SimpleNamespace(), False),
        (SimpleNamespace(kernel=made("ipykernel.ipkernel")), True),
        (SimpleNamespace(kernel=made("google.colab._kernel")), True),
        (SimpleNamespace(kernel=made("spyder_kernels.console.kernel")), False),
    ],
    ids=["no IPython", "a prompt of IPython", "Jupyter", "Colab", "Spyder"],
)
def test_what_is_a_notebook(monkeypatch: pytest.MonkeyPatch, shell: Any, found: bool) -> None:
    """Where cells show HTML that changes, and nowhere else."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert kernel() is found

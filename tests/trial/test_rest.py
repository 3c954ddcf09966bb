"""What of a script `gpusched run` leaves out."""

from __future__ import annotations

import textwrap

import pytest

from gpusched.trial.rest import first_line_behind


@pytest.mark.parametrize(
    ("lines", "rest", "source"),
    [
        ([1], 2, "tuner.search()\nmodel = tuner.get_best_models()[0]\n"),
        ([1], None, "tuner.search()\n"),
        ([1], None, "tuner.search()\ntuner.results_summary()\n'the end'\ndef later(): pass\n"),
        ([2], 3, "if __name__ == '__main__':\n    tuner.search()\n    print(1)\n"),
        ([2], None, "if True:\n    tuner.search()\nelse:\n    print(1)\n"),
        ([2], 3, "for tuner in tuners:\n    tuner.search()\nprint(1)\n"),
        ([5, 2], 3, "def main():\n    tuner.search()\n    plot()\n\nmain()\nprint(1)\n"),
        ([4, 2], 5, "def main():\n    tuner.search()\n\nmain()\nprint(1)\n"),
        ([4, 2], None, "def main():\n    tuner.search()\n\nmain()\n"),
        ([2], 6, "with scope():\n    tuner.search(\n        x,\n        y,\n    )\n    print(1)\n"),
        ([2], 6, "try:\n    tuner.search()\nexcept ValueError:\n    pass\n\nprint(1)\n"),
        ([], None, "print(1)\n"),
    ],
)
def test_where_the_script_would_have_gone_on(lines: list[int], rest: int | None, source: str) -> None:
    """The first line that does something, in the function that searches or in one that called it."""
    assert first_line_behind(textwrap.dedent(source), lines) == rest

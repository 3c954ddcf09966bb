"""Bracket sizes, counted in integers."""

import pytest

from gpusched.errors import UsageError
from gpusched.oracles.brackets import hyperband_table, shrunk

TABLES = {
    (27, 3): ["27×1→9×3→3×9→1×27", "12×3→4×9→2×27", "6×9→2×27", "4×27"],
    (81, 3): ["81×1→27×3→9×9→3×27→1×81", "34×3→12×9→4×27→2×81", "15×9→5×27→2×81", "8×27→3×81", "5×81"],
    (100, 3): ["98×2→33×4→11×12→4×34→2×100", "41×4→14×12→5×34→2×100", "18×12→6×34→2×100", "9×34→3×100", "6×100"],
    (243, 3): [
        "243×1→81×3→27×9→9×27→3×81→1×243",
        "98×3→33×9→11×27→4×81→2×243",
        "41×9→14×27→5×81→2×243",
        "18×27→6×81→2×243",
        "9×81→3×243",
        "6×243",
    ],
    (1, 3): ["1×1"],
    (2, 3): ["2×2"],
    (16, 4): ["16×1→4×4→1×16", "6×4→2×16", "3×16"],
}


@pytest.mark.parametrize("case", TABLES)
def test_sizes(case):
    """Every bracket has Keras Tuner's sizes, rounded up."""
    table = hyperband_table(*case)
    assert ["→".join(f"{n}×{stop}" for n, stop in rungs) for _, rungs in table] == TABLES[case]
    assert [s for s, _ in table] == list(range(len(table) - 1, -1, -1))


def test_shrunk():
    """Five entrants still halve: a cut bracket keeps its proportions."""
    assert shrunk([27, 9, 3, 1], 5) == [5, 2, 1, 1]
    assert shrunk([27, 9, 3, 1], 27) == [27, 9, 3, 1]


@pytest.mark.parametrize(("epochs", "factor"), [(0, 3), (2.5, 3), (27, 1), (27, "3")])
def test_nonsense_is_refused(epochs, factor):
    """A budget or factor that makes no bracket is an error that names it."""
    with pytest.raises(UsageError, match=r"max_epochs|factor"):
        hyperband_table(epochs, factor)

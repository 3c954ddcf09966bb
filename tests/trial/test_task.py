"""What a script searches, found by executing it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpusched as gs
from gpusched.errors import UsageError
from gpusched.trial.task import HandOver, Task, executing, load_script, settings

Load = Callable[..., Task]


@pytest.fixture
def load(place: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(text, *argv): the task of a script with this text."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(text: str, *argv: str) -> Task:
        path = place / "digits.py"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_script(path, argv)

    return run


def test_the_first_search_hands_over(load: Load) -> None:
    """What search() was given is the task's; nothing behind it runs, and no `except Exception` keeps it from that."""
    task = load("""
        import gpusched as gs
        def train(hp, trial):
            pass
        tuner = gs.RandomSearch(train=train, objective="loss")
        if __name__ == "__main__":
            try:
                tuner.search(1, 2, epochs=3)
            except Exception:
                pass
            raise AssertionError
    """)
    assert (task.args, task.kwargs) == ((1, 2), {"epochs": 3})
    assert task.fit_arguments == ((1, 2), {"epochs": 3})
    assert (task.kind, task.asked.algorithm) == ("function", "random")
    assert executing() is None


def test_a_script_runs_as_python_runs_it(load: Load, place: Path) -> None:
    """__main__, __file__, sys.argv and the folder to import from are those of a script."""
    (place / "beside.py").write_text("value = 7")
    task = load(
        """
        import sys, __main__, beside
        import gpusched as gs
        def train(hp, trial):
            pass
        assert __main__.train is train and __main__.__file__ == __file__ == sys.argv[0]
        gs.Hyperband(train=train, objective="loss").search(sys.argv[1:], beside.value)
        """,
        "--deep",
        "2",
    )
    assert task.args == (["--deep", "2"], 7)
    assert sys.modules.pop("beside").value == 7
    assert task.asked.project_name == "digits"


def test_the_space_summary_of_a_script_that_is_executed_says_nothing(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looking for the space would build models in a process that is to be forked."""
    task = load("""
        import gpusched as gs
        tuner = gs.Hyperband(lambda hp: 1 / 0, "loss")
        tuner.search_space_summary()
        tuner.plan()
        tuner.search()
    """)
    assert task.kind == "keras"
    assert capsys.readouterr().out == ""


def test_names_say_what_search_does_not(load: Load) -> None:
    """A tuner, build_model and load_data, or train are found by their names."""
    tuner = load("""
        import gpusched as gs
        def load_data():
            return dict(x=1, epochs=4)
        search = gs.RandomSearch(lambda hp: None, "val_loss")
    """)
    assert (tuner.asked.algorithm, tuner.fit_arguments) == ("random", ((), {"x": 1, "epochs": 4}))
    named = load("def build_model(hp): pass\ndef load_data(): return 5, 6")
    assert (named.kind, named.asked.algorithm, named.fit_arguments) == ("keras", "hyperband", ((5, 6), {}))
    assert settings(named, {"objective": "accuracy", "max_epochs": 9}).arguments["max_epochs"] == 9
    assert load("def train(hp, trial): pass").kind == "function"


def test_load_data_is_called_once(load: Load) -> None:
    """Loading again gives the same; keywords of search() win over those of load_data."""
    task = load("""
        import gpusched as gs
        calls = []
        def load_data():
            calls.append(1)
            return {"x": calls, "epochs": 2, "batch_size": 8}
        gs.RandomSearch(lambda hp: None, "val_loss").search(load_data, epochs=5)
    """)
    task.load()
    task.load()
    assert task.fit_arguments == ((), {"x": [1], "epochs": 5, "batch_size": 8})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nraise ValueError('no\\nluck')", "digits.py:2: ValueError: no luck"),
        ("import nowhere_to_be_found", "digits.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def f(:", "digits.py:1: SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(3)", "digits.py:2: it ended itself (sys.exit(3)) before it came to search()"),
        ("x = 1", "digits.py: has nothing to search: add build_model(hp) and load_data(), or train(hp, trial), "),
        ("def build_model(hp): pass", "digits.py: has build_model but no load_data; add load_data()"),
        (
            "import gpusched as gs\ngs.Hyperband(train=print, objective='loss', factor=1)",
            "digits.py:2: factor: 1 is not possible; give an integer of at least 2",
        ),
        (
            "import gpusched as gs\na = gs.Hyperband(print, 'loss')\nb = gs.ASHA(print, 'loss')",
            "digits.py: has 2 tuners and calls search() on none",
        ),
    ],
)
def test_what_is_wrong_with_a_script_is_said_in_one_line(load: Load, text: str, said: str) -> None:
    """Script and line are named, and what to add."""
    with pytest.raises(UsageError) as error:
        load(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_script_that_is_not_there(place: Path) -> None:
    """A missing script and a folder are named."""
    with pytest.raises(UsageError, match="there is no such script"):
        load_script(place / "none.py")
    with pytest.raises(UsageError, match="cannot be read"):
        load_script(place)


def test_handing_over_is_for_launchers_only() -> None:
    """Outside of load_script nothing is being executed."""
    assert executing() is None
    assert not issubclass(HandOver, Exception)


def test_the_digest_changes_with_the_code_only(load: Load) -> None:
    """An edited build_model has another fingerprint; an edited tuner has not."""
    text = """
        import gpusched as gs
        def build_model(hp):
            return {what}
        gs.Hyperband(build_model, "loss", max_epochs={epochs}).search()
    """
    one = settings(load(text.format(what=1, epochs=3)))
    other = settings(load(text.format(what=1, epochs=9)))
    edited = settings(load(text.format(what=2, epochs=3)))
    assert one.script_digest == other.script_digest
    assert one.script_digest is not None
    assert one.script_digest != edited.script_digest


def test_a_class_may_stand_for_its_instance() -> None:
    """A HyperModel's class, given in its place, is instantiated."""

    class Own(gs.HyperModel):
        def build(self, hp: Any) -> Any:
            return None

    assert isinstance(gs.Hyperband(Own, "loss").hypermodel, Own)

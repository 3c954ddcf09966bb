"""Keras Tuner's names and module paths, below gpusched."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import cloudpickle
import pytest

import gpusched as kt
from gpusched.keras_tuner.names import HOMES, INSTEAD, PATHS, TOP

ROOTS = ("gpusched", "gpusched.keras_tuner", "gpusched.src")


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", [path for path in PATHS if path != "src"])
def test_every_path_can_be_imported_and_has_its_names(root, path):
    """A path is a module, reached by an import or as an attribute, and every name in it is the one of its home."""
    module = importlib.import_module(f"{root}.{path}")
    there = importlib.import_module(root)
    for part in path.split("."):
        there = getattr(there, part)
    assert there is module
    for name in PATHS[path]:
        home, _, called = (HOMES.get(f"{path}.{name}") or HOMES[name]).partition(":")
        assert getattr(module, name) is getattr(importlib.import_module(home), called or name)


@pytest.mark.parametrize("root", ROOTS[:2])
def test_the_package_has_the_names_of_keras_tuner_s_first_page(root):
    """`kt.Hyperband` and its like, and a version."""
    package = importlib.import_module(root)
    assert all(callable(getattr(package, name)) for name in TOP)
    assert package.__version__[0].isdigit()


def test_no_module_is_loaded_twice():
    """A file of gpusched's is the same module under both roots."""
    twin = importlib.import_module("gpusched.keras_tuner.tuners.base")
    assert twin is importlib.import_module("gpusched.tuners.base")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("gpusched.keras_tuner.tuners.nothing")


def test_a_function_that_uses_a_path_can_be_sent_to_another_process():
    """As build functions are, whose globals are such modules."""
    script = {"__name__": "__main__"}
    exec("from gpusched.engine import trial\ndef status(): return trial.TrialStatus.RUNNING", script)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)())"
    sent = cloudpickle.dumps(script["status"])
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert done.stdout == b"RUNNING\n"
    assert pickle.loads(pickle.dumps(kt.engine.trial)) is kt.engine.trial


def test_a_star_brings_keras_tuner_s_names():
    """What `from keras_tuner import *` brings, without a framework."""
    code = "import sys; from gpusched import *; print(Oracle, SklearnTuner, applications, 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" False\n")


def test_imports_that_people_write():
    """As in scripts and books, with the package's name changed."""
    lines = """
        from gpusched import HyperModel, HyperParameters, Objective
        from gpusched.engine.hyperparameters import HyperParameters
        from gpusched.tuners import RandomSearch, Hyperband, BayesianOptimization
        from gpusched.tuners.hyperband import Hyperband
        from gpusched.engine.hypermodel import HyperModel
        from gpusched.engine.trial import Trial
        from gpusched.engine import tuner as tuner_module
        from gpusched.engine import hyperparameters as hp_module
        from gpusched.engine.hyperparameters import hp_types
        from gpusched.engine import base_tuner, tuner_utils
        from gpusched.src.engine.tuner import Tuner
        import gpusched.src.tuners.randomsearch as rs
        import gpusched.engine.hyperparameters as hyperparameters
        from gpusched.engine.hyperparameters import *
        from gpusched import *
    """
    for line in lines.split("\n"):
        exec(line.strip(), {})


def test_nothing_is_loaded_before_it_is_used():
    """Neither a path nor a name in it loads a framework, in a process that has none."""
    code = f"""if True:
        import sys, importlib, gpusched
        early = [name for name in sys.modules if name.startswith("gpusched.engine.")]
        for path in {list(PATHS)!r}:
            module = importlib.import_module(f"gpusched.{{path}}")
            [getattr(module, name) for name in {PATHS!r}[path]]
        print(early, [name for name in "keras tensorflow torch jax scipy sklearn".split() if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


@pytest.mark.parametrize("name", [name for name in INSTEAD if name.islower() and "_" not in name])
def test_a_module_that_is_not_there_says_what_to_do(name):
    """An import of it, and an attribute, end in one line with the way out."""
    words = f"gpusched.{name} is not there: {INSTEAD[name]}"
    with pytest.raises(ModuleNotFoundError) as failed:
        importlib.import_module(f"gpusched.{name}")
    assert str(failed.value) == words
    parent, _, last = f"gpusched.{name}".rpartition(".")
    with pytest.raises(ImportError) as failed:
        exec(f"from {parent} import {last}", {})
    assert str(failed.value) == words
    with pytest.raises(AttributeError) as absent:
        getattr(importlib.import_module(parent), last)
    assert str(absent.value) == words


def test_a_name_that_is_not_there_says_what_to_do():
    """Keras Tuner's helpers have their ways out, other names what they may have meant."""
    with pytest.raises(AttributeError, match=r"tuner_utils\.TunerCallback is not there: override on_epoch_begin"):
        kt.engine.tuner_utils.TunerCallback  # noqa: B018
    with pytest.raises(ImportError, match="SaveBestEpoch is not there: the best weights"):
        exec("from gpusched.engine.tuner_utils import SaveBestEpoch", {})
    with pytest.raises(AttributeError, match="no attribute 'HyperParams'; did you mean HyperParameters"):
        kt.HyperParams  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Trials'; did you mean Trial"):
        kt.engine.trial.Trials  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'gpusched\.nothing'"):
        importlib.import_module("gpusched.nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from gpusched.tuners import nothing", {})

"""A grid and a Hyperband search, trained by gpusched and by others, timed as whole commands in one run.

All train the same small network on the same digits, two trials at once where they can. `warm` is the floor: the
training alone, in two processes that have Keras and the data loaded already and no scheduler at all. Warm processes
and Ray Tune are given the jobs that gpusched came to; Keras Tuner finds its own by the same algorithm. Keras Tuner and
Ray Tune are installed into a temporary folder, for the benchmark only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What every contestant imports: the model, the data, and hyperparameters with values already given.
SHARED = """
    import json, os
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    class Given:
        def __init__(self, values): self.values = values
        def Int(self, name, *args, **kwargs): return self.values[name]
        Float = Choice = Boolean = Int

    def jobs():
        with open("jobs.json") as file:
            return [(values, epochs) for values, epochs in json.load(file)]

    def train(values, epochs, arguments):
        arguments = {name: value for name, value in arguments.items() if name != "callbacks"}
        return build_model(Given(values)).fit(**arguments, epochs=epochs, verbose=0).history
"""

GRID = """
    def build_model(hp):
        import keras
        conv = hp.Choice("conv", [32, 64, 96])
        model = keras.Sequential([
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(conv, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(conv, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Choice("dense", [32, 64]), activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ])
        optimizer = keras.optimizers.Adam(hp.Choice("rate", [1e-2, 1e-3]))
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def load_data():
        import numpy as np
        from sklearn.datasets import load_digits
        x, y = load_digits(return_X_y=True)
        x = np.tile((x / 16).reshape(-1, 8, 8, 1).astype("float32"), (4, 1, 1, 1))
        y = np.tile(y, 4)
        return dict(x=x[:6000], y=y[:6000], validation_data=(x[6000:], y[6000:]), batch_size=32)
"""


@dataclass(frozen=True)
class Contest:
    """A search that all contestants do."""

    title: str
    common: str
    gpusched: str  #: the tuner
    keras_tuner: str
    epochs: str  #: what search() is told beside the data


CONTESTS = {
    "grid": Contest(
        title="12 configurations x 2 epochs",
        common=textwrap.dedent(GRID),
        gpusched='gs.GridSearch(build_model, objective="val_accuracy", cpu_slots=2, seed=0)',
        keras_tuner='kt.GridSearch(build_model, objective="val_accuracy", max_trials=12, seed=0, **place)',
        epochs="epochs=2",
    ),
    "digits": Contest(
        title="examples/digits.py, Hyperband to 27 epochs",
        common=(Path(__file__).parent.parent / "examples" / "digits.py")
        .read_text()
        .split("tuner =")[0]
        .replace("import gpusched as gs\n", ""),
        gpusched='gs.Hyperband(build_model, objective="val_accuracy", max_epochs=27, factor=3, cpu_slots=2, seed=42)',
        keras_tuner='kt.Hyperband(build_model, objective="val_accuracy", max_epochs=27, factor=3, seed=42, **place)',
        epochs="",
    ),
}

SCRIPTS = {
    "warm": """
        import multiprocessing, time
        from common import *

        def worker(i, ready, go):
            os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[i]])
            import keras
            arguments = load_data()
            ready.wait()
            go.wait()
            for values, epochs in sorted(jobs(), key=lambda job: -job[1])[i::2]:
                train(values, epochs, arguments)

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            ready, go = context.Barrier(3), context.Barrier(3)
            workers = [context.Process(target=worker, args=(i, ready, go)) for i in range(2)]
            for each in workers: each.start()
            ready.wait()
            began = time.perf_counter()
            go.wait()
            for each in workers: each.join()
            print("SECONDS", time.perf_counter() - began)
    """,
    "gpusched": """
        import gpusched as gs
        from common import *
        tuner = {gpusched}
        if __name__ == "__main__":
            tuner.search(lambda: load_data() | dict({epochs}))
    """,
    "keras tuner": """
        import keras_tuner as kt
        from common import *
        place = dict(directory="kt", project_name="p")
        tuner = {keras_tuner}
        tuner.search(**load_data(), {epochs}{comma}verbose=0)
    """,
    "ray tune": """
        import sys, warnings
        warnings.simplefilter("ignore")
        import ray
        from ray import tune
        from common import *

        def trainable(config):
            history = train(*config["job"], load_data())
            tune.report({{"val_accuracy": history["val_accuracy"][-1]}})

        class Reused(tune.Trainable):
            def setup(self, config):
                import keras
                self.arguments = load_data()
                self.job = config["job"]
            def reset_config(self, config):
                self.job = config["job"]
                return True
            def step(self):
                history = train(*self.job, self.arguments)
                return {{"val_accuracy": history["val_accuracy"][-1], "done": True}}

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        every = jobs()
        reuse = "--reuse" in sys.argv
        tune.Tuner(Reused if reuse else trainable, param_space={{"job": tune.grid_search(every)}},
                   tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", reuse_actors=reuse),
                   run_config=tune.RunConfig(verbose=0, storage_path=os.path.abspath("ray"))).fit()
    """,
}


#: Without what it shares with gpusched's environment, which must be the same for all.
_KERAS_TUNER = [
    "--no-deps",
    "keras-tuner",
    "kt-legacy",
    "tensorboard",
    "tensorboard-data-server",
    "markdown",
    "werkzeug",
    "markupsafe",
]


def libraries(folder: Path) -> dict[str, Path]:
    """Keras Tuner and Ray Tune beside, not in, the environment."""
    wanted = {"keras tuner": _KERAS_TUNER, "ray tune": ["ray[tune]", "pyarrow"]}
    found = {}
    for name, packages in wanted.items():
        target = folder / name.replace(" ", "-")
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(target)]
        done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found[name] = target
        else:
            print(f"{name}: could not be installed, is left out\n{done.stderr[-500:]}", file=sys.stderr)
    return found


def run(words: list[str], cwd: Path, **env: str) -> float:
    """Wall seconds of a command; of its training alone where it says so itself."""
    began = time.perf_counter()
    path = os.pathsep.join(filter(None, [str(cwd), env.pop("PYTHONPATH", "")]))
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    said = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SECONDS")]
    return float(said[0]) if said else seconds


def chief_and_workers(folder: Path, library: Path) -> float:
    """Keras Tuner's way to two trials at once: a chief and two workers, started together."""
    base = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(library)]),
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": "18723",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    began = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, "keras_tuner_.py"],
            cwd=folder,
            env={**os.environ, **base, "KERASTUNER_TUNER_ID": name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ("chief", "tuner0", "tuner1")
    ]
    for process in processes[1:]:
        if process.wait(timeout=600):
            raise RuntimeError("a worker of Keras Tuner failed")
    seconds = time.perf_counter() - began
    processes[0].kill()
    processes[0].wait()
    return seconds


def trained(run: Path) -> list[tuple[dict[str, Any], int]]:
    """The jobs of a finished search: their values, and how many epochs each trained."""
    from gpusched.core.events import JobEnded
    from gpusched.runtime.reader import Run

    found = Run.open(run)
    launches = {(launch.trial, launch.attempt): launch for _, launch in found.launches}
    ends = [event for event in found.events if isinstance(event, JobEnded)]
    pairs = [(launches[end.trial, end.attempt], end.epochs) for end in ends]
    return [(launch.values, epochs - launch.start_epoch) for launch, epochs in pairs if epochs > launch.start_epoch]


def hold(contest: Contest, folder: Path, found: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """Seconds of every contestant in every round."""
    (folder / "common.py").write_text(textwrap.dedent(SHARED) + contest.common)
    for contestant, text in SCRIPTS.items():
        words = {"gpusched": contest.gpusched, "keras_tuner": contest.keras_tuner, "epochs": contest.epochs}
        script = textwrap.dedent(text)
        if contestant != "warm":
            script = script.format(**words, comma=", " if contest.epochs else "")
        (folder / f"{contestant.replace(' ', '_')}_.py").write_text(script)
    command = str(Path(sys.executable).with_name("gpusched"))
    search = [command, "run", "gpusched_.py", "--restart"]
    rows: dict[str, Callable[[], float]] = {
        "gpusched run": lambda: run(search, folder),
        "two warm processes, no scheduler": lambda: run([sys.executable, "warm_.py"], folder),
    }
    if library := found.get("keras tuner"):
        path = str(library)
        rows["Keras Tuner"] = lambda: run([sys.executable, "keras_tuner_.py"], folder, PYTHONPATH=path)
        rows["Keras Tuner, chief and two workers"] = lambda: chief_and_workers(folder, library)
    if ray := found.get("ray tune"):
        tune = [sys.executable, "ray_tune_.py"]
        rows["Ray Tune"] = lambda: run(tune, folder, PYTHONPATH=str(ray))
        rows["Ray Tune, reused actors"] = lambda: run([*tune, "--reuse"], folder, PYTHONPATH=str(ray))
    taken: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(rounds):
        for row, measure in rows.items():
            for left in ("kt", "ray"):
                shutil.rmtree(folder / left, ignore_errors=True)
            taken[row].append(measure())
            if row == "gpusched run":
                (folder / "jobs.json").write_text(json.dumps(trained(folder / "runs" / "gpusched_")))
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contest", nargs="*", choices=[*CONTESTS, []], help="which searches (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="of all contestants, one after the other")
    parser.add_argument("--alone", action="store_true", help="install nothing: gpusched against the floor only")
    arguments = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    with tempfile.TemporaryDirectory(prefix="bench search ") as name:
        folder = Path(name)
        found = {} if arguments.alone else libraries(folder)
        for each in arguments.contest or CONTESTS:
            taken = hold(CONTESTS[each], folder, found, arguments.rounds)
            floor = statistics.median(taken["two warm processes, no scheduler"])
            print(f"{CONTESTS[each].title}; {machine}")
            print(f"{'':36} {'median s':>9} {'least':>7} {'most':>7} {'x floor':>8}")
            for row, seconds in taken.items():
                middle = statistics.median(seconds)
                print(
                    f"{row:36} {middle:9.1f} {min(seconds):7.1f} {max(seconds):7.1f} {middle / floor:8.2f}", flush=True
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())

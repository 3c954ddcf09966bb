"""A 12-configuration grid of 2 epochs, trained by gpusched and by others, timed as whole commands in one run.

All train the same small network on the same digits, two trials at once where they can. `warm` is the floor: the
training alone, in two processes that have Keras and the data loaded already and no scheduler at all. Keras Tuner and
Ray Tune are installed into a temporary folder, for the benchmark only.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path

COMMON = """
    import os
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    CONV, DENSE, RATE = [32, 64, 96], [32, 64], [1e-2, 1e-3]

    def build(conv, dense, rate):
        import keras
        model = keras.Sequential([
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(conv, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(conv, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(dense, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ])
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def tuned(hp):
        return build(hp.Choice("conv", CONV), hp.Choice("dense", DENSE), hp.Choice("rate", RATE))

    def data():
        import numpy as np
        from sklearn.datasets import load_digits
        x, y = load_digits(return_X_y=True)
        x = np.tile((x / 16).reshape(-1, 8, 8, 1).astype("float32"), (4, 1, 1, 1))
        y = np.tile(y, 4)
        return dict(x=x[:6000], y=y[:6000], validation_data=(x[6000:], y[6000:]), batch_size=32)
"""

SCRIPTS = {
    "warm": """
        import itertools, multiprocessing, sys, time
        from common import *

        def worker(i, ready, go):
            os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[i]])
            import keras
            arguments = data()
            ready.wait()
            go.wait()
            for values in list(itertools.product(CONV, DENSE, RATE))[i::2]:
                build(*values).fit(**arguments, epochs=2, verbose=0)

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
        tuner = gs.GridSearch(tuned, objective="val_accuracy", cpu_slots=2, seed=0)
        if __name__ == "__main__":
            tuner.search(lambda: data() | dict(epochs=2))
    """,
    "keras tuner": """
        import keras_tuner as kt
        from common import *
        tuner = kt.GridSearch(tuned, objective="val_accuracy", max_trials=12, seed=0, directory="kt", project_name="g")
        tuner.search(**data(), epochs=2, verbose=0)
    """,
    "ray tune": """
        import itertools, sys, warnings
        warnings.simplefilter("ignore")
        import ray
        from ray import tune
        from common import *

        def trainable(config):
            arguments = data()
            history = build(*config["values"]).fit(**arguments, epochs=2, verbose=0).history
            tune.report({"val_accuracy": history["val_accuracy"][-1]})

        class Reused(tune.Trainable):
            def setup(self, config):
                import keras
                self.arguments = data()
                self.values = config["values"]
            def reset_config(self, config):
                self.values = config["values"]
                return True
            def step(self):
                history = build(*self.values).fit(**self.arguments, epochs=2, verbose=0).history
                return {"val_accuracy": history["val_accuracy"][-1], "done": True}

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        grid = tune.grid_search([list(v) for v in itertools.product(CONV, DENSE, RATE)])
        reuse = "--reuse" in sys.argv
        tune.Tuner(Reused if reuse else trainable, param_space={"values": grid},
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of all contestants, one after the other")
    parser.add_argument("--alone", action="store_true", help="install nothing: gpusched against the floor only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench search ") as name:
        folder = Path(name)
        (folder / "common.py").write_text(textwrap.dedent(COMMON))
        for contestant, text in SCRIPTS.items():
            (folder / f"{contestant.replace(' ', '_')}_.py").write_text(textwrap.dedent(text))
        found = {} if arguments.alone else libraries(folder)
        command = str(Path(sys.executable).with_name("gpusched"))
        rows: dict[str, Callable[[], float]] = {
            "two warm processes, no scheduler": lambda: run([sys.executable, "warm_.py"], folder),
            "gpusched run": lambda: run([command, "run", "gpusched_.py", "--fresh"], folder),
        }
        if library := found.get("keras tuner"):
            path = str(library)
            rows["Keras Tuner"] = lambda: run([sys.executable, "keras_tuner_.py"], folder, PYTHONPATH=path)
            rows["Keras Tuner, chief and two workers"] = lambda: chief_and_workers(folder, library)
        if ray := found.get("ray tune"):
            words = [sys.executable, "ray_tune_.py"]
            rows["Ray Tune"] = lambda: run(words, folder, PYTHONPATH=str(ray))
            rows["Ray Tune, reused actors"] = lambda: run([*words, "--reuse"], folder, PYTHONPATH=str(ray))
        taken: dict[str, list[float]] = {row: [] for row in rows}
        for _ in range(arguments.rounds):
            for row, measure in rows.items():
                for left in ("kt", "ray"):
                    shutil.rmtree(folder / left, ignore_errors=True)
                taken[row].append(measure())
    floor = statistics.median(taken["two warm processes, no scheduler"])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"12 configurations x 2 epochs; {machine}")
    print(f"{'':36} {'median s':>9} {'least':>7} {'most':>7} {'x floor':>8}")
    for row, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"{row:36} {middle:9.1f} {min(seconds):7.1f} {max(seconds):7.1f} {middle / floor:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

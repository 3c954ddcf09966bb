"""`gpusched run` on a script whose tuner has hooks of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import gpusched as gs
print("loaded")
class Tuner(gs.GridSearch):
    ended = 0
    def on_search_begin(self): print("begins", sys.argv[1:])
    def on_search_end(self): print("ends after", self.ended)
    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.ended += 1
        print("ended:", trial.trial_id, trial.status, trial.score, self.oracle.get_trial(trial.trial_id).score)
        if self.ended == 2:
            raise KeyError("mine")
    def run_trial(self, trial):
        return float(trial.hyperparameters.Int("x", 1, 3))
Tuner(cpu_slots=1, overwrite=True).search()
"""


def test_hooks_are_called_in_a_process_with_the_script(tmp_path: Path) -> None:
    """One process for all of them; what they print is shown, an error in one ends neither them nor the search."""
    script = tmp_path / "my search.py"
    script.write_text(SCRIPT, encoding="utf-8")
    words = [sys.executable, "-P", "-m", "gpusched.cli", "run", str(script), "--run", "elsewhere", "--", "-v"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("begins", "ends", "ended", "loaded", "KeyError", "Tuner."))] == [
        "loaded",  # Once: by the launcher.
        "begins ['-v']",
        "ended: 0000 COMPLETED 1.0 1.0",
        "ended: 0001 COMPLETED 2.0 2.0",
        "Tuner.on_trial_end has failed; the search goes on",
        "KeyError: 'mine'",
        "ended: 0002 COMPLETED 3.0 3.0",
        "ends after 3",
    ]

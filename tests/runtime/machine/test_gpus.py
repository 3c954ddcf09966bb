"""Searches on GPUs that others use, that break, and whose memory does not suffice, on the stand-in driver."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

GIB = 2**30
FOREIGN = {"pid": 4_000_000_001, "used": 5 * GIB}


def test_no_gpu_is_above_its_cap(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """8 GPUs with a cap of 3 and 100 jobs: by what the trials saw, 24 at once, 3 a GPU, and never a fourth."""
    lab = gpu_lab(8)
    lab.lab.hold()
    scheduler = lab.start("--per-gpu", "3", "--max-epochs", "1", trials=100)
    until("24 trials", lambda: len(lab.began()) == 24)
    assert Counter(gpu for _, gpu in lab.began()) == dict.fromkeys(range(8), 3)
    lab.lab.let_go()
    assert scheduler.wait(120) == 0
    here: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for line in sorted(lab.ledger, key=lambda line: line["at"]):
        here[line["gpu"]] += 1 if line["what"] == "begins" else -1
        most[line["gpu"]] = max(most[line["gpu"]], here[line["gpu"]])
    assert most == dict.fromkeys(lab.uuids, 3)
    assert lab.states() == ["completed"] * 100
    lab.sound()


# ---------------------------------------------------------------------------- others


def test_a_busy_gpu_is_waited_for(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """It joins when it is free, and leaves while others compute on it; `status` says why. The change is an event."""
    lab = gpu_lab(2)
    lab.nvml.devices[1]["compute"] = [FOREIGN]
    lab.nvml.save()
    lab.lab.hold()
    scheduler = lab.start(trials=8)
    until("the first trial", lambda: len(lab.began()) == 1)
    assert lab.lab.search.places.waiting == [
        "gpu 1: a process (pid 4000000001) computes on it: waiting (--when-busy wait)"
    ]
    reason = "gpu 1: a process (pid 4000000001) computes on it: waiting (--when-busy wait)"
    assert lab.says("status", "runs/search it").count(reason) == 1
    assert "others compute on it: a search waits for it" in lab.says("devices")
    lab.nvml.devices[1]["compute"] = []
    lab.nvml.save()
    until("the second trial", lambda: len(lab.began()) == 2)
    assert lab.began() == [(0, 0), (1, 1)]
    lab.nvml.devices[0]["compute"] = [FOREIGN]
    lab.nvml.save()
    until("the change", lambda: len(lab.lab.events("slots_changed")) == 2)
    lab.lab.let_go()
    assert scheduler.wait(60) == 0
    assert Counter(gpu for _, gpu in lab.began()) == {0: 1, 1: 7}
    assert "gpu 0: a process (pid 4000000001) computes on it: waiting (--when-busy wait)" in lab.lab.said
    assert [len(event["slots"]) for event in lab.lab.events("slots_changed")] == [2, 1]
    lab.sound()


def test_a_search_begins_when_a_gpu_is_free(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """With every GPU busy it waits, and says for what."""
    lab = gpu_lab(1, compute=[FOREIGN])
    scheduler = lab.start(trials=2)
    until("a search without slots", lambda: lab.lab.events("session_opened"))
    assert lab.lab.events("session_opened")[0]["slots"] == []
    lab.nvml.devices[0]["compute"] = []
    lab.nvml.save()
    assert scheduler.wait(60) == 0
    assert lab.states() == ["completed"] * 2


def test_busy_gpus_may_be_skipped_or_shared(gpu_lab: Any) -> None:
    """Skipped ones are left alone; where all are, that is an error with the way out; shared ones are used."""
    lab = gpu_lab(2)
    lab.nvml.devices[0]["compute"] = [FOREIGN]
    lab.nvml.save()
    assert lab.finish("--when-busy", "skip", trials=3) == 0
    assert {gpu for _, gpu in lab.began()} == {1}
    assert lab.lab.search.places.notes == [
        "gpu 0: a process (pid 4000000001) computes on it: skipped (--when-busy skip)"
    ]
    lab.nvml.devices[1]["compute"] = [FOREIGN]
    lab.nvml.save()
    assert lab.finish("--when-busy", "skip", "--run", "runs/none", trials=3) == 2
    assert "--when-busy wait waits" in lab.lab.said
    assert lab.finish("--when-busy", "share", "--run", "runs/shared", trials=4) == 0


# ---------------------------------------------------------------------------- memory


def test_out_of_memory_is_tried_again_alone(gpu_lab: Any) -> None:
    """Beside another a trial runs out of memory, alone it does not; later ones are not sent into the same crash."""
    lab = gpu_lab(1)
    lab.ills(
        "if trial.id == 1 and not os.path.exists('short'):\n"
        "    while not others(): time.sleep(0.002)\n"
        "    open('short', 'w')\n"
        "if trial.id == 1 and others(): raise OutOfMemoryError('CUDA out of memory')\n"
        "while not os.path.exists('short'): time.sleep(0.002)\n"
    )
    assert lab.finish("--per-gpu", "2", trials=6) == 0
    assert lab.states() == ["completed"] * 6
    launches = [line for line in lab.lab.journal() if line["type"] == "launch" and line["trial"] == 1]
    assert [line.get("alone", False) for line in launches] == [False, True]
    assert lab.lab.search.places.notes == ["gpu 0: 1 at once: trial 1 ran out of memory as one of 2"]
    # By what the trials saw: nobody was beside it then.
    times = {(line["trial"], line["what"]): line["at"] for line in lab.ledger}
    begins, ends = times[1, "begins"], times[1, "ends"]
    assert all(times[i, "ends"] < begins or times[i, "begins"] > ends for i in (0, 2, 3, 4, 5))
    lab.sound()


def test_out_of_memory_alone_fails_with_its_figures(gpu_lab: Any) -> None:
    """Its need and the GPU's size are told; the search goes on with the others."""
    lab = gpu_lab(1)
    lab.ills(
        "if trial.id == 1:\n"
        "    hold(23)\n"
        "    time.sleep(0.3)\n"
        "    raise OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')\n"
    )
    assert lab.finish(trials=3) == 0
    assert lab.states() == ["completed", "failed", "completed"]
    failure = lab.lab.search.trials[1].failure
    assert failure.message == (
        "needs more memory than gpu 0 of 24.0 GiB has, alone on it too; it held 23.0 GiB and wanted more "
        "(CUDA out of memory. Tried to allocate 9 GiB)"
    )


def test_the_kernels_oom_killer(lab: Any, memory_group: Any) -> None:
    """On a machine without memory for all, the trial that was killed is tried again with no other beside it."""
    lab.write(
        """
import os, time

def train(hp, trial):
    lr = hp.Float("lr", 0.1, 1.0)
    if trial.id == 1 and not os.path.exists("short"):
        with open("aside", "w") as file:
            file.write(str(os.getpid()))
        os.rename("aside", "short")
        held = b"x" * (1 << 30)
    while trial.id == 0 and (not os.path.exists("short") or os.path.exists("/proc/" + open("short").read())):
        time.sleep(0.002)
    trial.report(val_loss=lr)
"""
    )
    options = ["--algorithm", "random", "--objective", "val_loss", "--max-epochs", "1", "--cpu-slots", "2"]
    command = lab.command(*options, "--max-trials", "4", "--seed", "7", "--gpus", "none")
    assert lab.finish(command=memory_group(500 << 20, command))[0] == 0
    assert [trial.state.value for _, trial in sorted(lab.search.trials.items())] == ["completed"] * 4
    failures = {event["trial"]: event["failure"]["kind"] for event in lab.events("job_ended") if "failure" in event}
    assert failures == {1: "OOMKilled"}
    launches = [line for line in lab.journal() if line["type"] == "launch" and line["trial"] == 1]
    assert [line.get("alone", False) for line in launches] == [False, True]
    assert len(lab.search.slots) == 1


def test_auto_admits_what_fits(gpu_lab: Any) -> None:
    """One trial first, then one more with each whose need is known, until the GPU is full but for a margin."""
    lab = gpu_lab(1)
    (lab.lab.folder / "need").write_text("6")
    lab.ills("time.sleep(0.15)")
    assert lab.finish("--per-gpu", "auto", trials=12) == 0
    here, most = 0, 0
    for line in sorted(lab.ledger, key=lambda line: line["at"]):
        here += 1 if line["what"] == "begins" else -1
        most = max(most, here)
    assert most == 3
    caps = [len(event["slots"]) for event in lab.lab.events("slots_changed")]
    assert [len(lab.lab.events("session_opened")[0]["slots"]), *caps] == [1, 2, 3]
    assert lab.lab.search.places.notes == [
        "gpu 0: 3 at once: the largest of 2 known trials held 6.0 GiB, and 22.6 GiB hold 3 of these with a margin"
    ]
    first = lab.lab.events("session_opened")[0]["notes"]
    assert first == ["gpu 0: 1 at once: how much memory a trial needs is not known yet"]
    # What was learnt holds in the next session.
    assert lab.finish("--per-gpu", "auto", trials=13) == 0
    assert len(lab.lab.events("session_opened")[1]["slots"]) == 3


# ---------------------------------------------------------------------------- hanging


def test_a_trial_without_epochs_is_ended_and_tried_once_more(gpu_lab: Any) -> None:
    """It completes the second time; one that hangs again fails, with the reason."""
    lab = gpu_lab(2)
    lab.ills(
        "if trial.id == 1 and not os.path.exists('hung') or trial.id == 2:\n"
        "    if trial.id == 1: open('hung', 'w')\n"
        "    time.sleep(600)\n"
    )
    assert lab.finish("--trial-timeout", "1.5", trials=5) == 0
    assert lab.states() == ["completed", "completed", "failed", "completed", "completed"]
    failure = lab.lab.search.trials[2].failure
    assert (failure.kind, failure.message) == ("hang", "no epoch for 1.5 s (--trial-timeout)")
    lab.sound()


def test_a_stopped_process_counts_as_hanging(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """Without any time-out asked for, a process that cannot run is ended and its trial tried again."""
    lab = gpu_lab(1)
    lab.lab.hold()
    scheduler = lab.start(trials=2, GPUSCHED_SILENT_SECONDS="0.3")
    until("a trial", lambda: lab.began() and lab.lab.trial_pids())
    (pid,) = lab.lab.trial_pids()
    os.kill(pid, signal.SIGSTOP)
    until("its end", lambda: lab.lab.events("trial_hung"))
    lab.lab.let_go()
    assert scheduler.wait(60) == 0
    assert lab.lab.events("trial_hung")[0]["reason"] == "no sign of life for 0.3 s: its process is stopped"
    assert lab.states() == ["completed"] * 2


# ---------------------------------------------------------------------------- accounts


def test_accounts_of_a_trial(gpu_lab: Any) -> None:
    """GPU-seconds, peak memory and mean utilisation are in the journal, and add up."""
    lab = gpu_lab(1, utilisation=40)
    lab.ills("hold(3 + trial.id)\ntime.sleep(0.2)")
    assert lab.finish("--per-gpu", "2", trials=2) == 0
    usages = {event["trial"]: event["usage"] for event in lab.lab.events("job_ended")}
    assert {i: usage["gpu_peak_bytes"] for i, usage in usages.items()} == {0: 3 * GIB, 1: 4 * GIB}
    assert {usage["gpu_utilisation"] for usage in usages.values()} == {0.4}
    assert {usage["gpu_share"] for usage in usages.values()} == {2}
    whole = sum(usage["gpu_seconds"] for usage in usages.values())
    longest = max(usage["wall_seconds"] for usage in usages.values())
    assert whole < 1.5 * longest  # Each pays for half of what they shared.
    table = list(csv.DictReader(lab.says("export", "runs/search it", "--format", "csv").splitlines()))
    assert {row["trial"]: row["gpu_peak_bytes"] for row in table} == {"0": str(3 * GIB), "1": str(4 * GIB)}
    status = lab.says("status", "runs/search it")
    assert "GPU time" in status
    assert "4.0 GiB at most, 40 % busy" in status
    told = json.loads(lab.says("status", "runs/search it", "--json"))["accounts"]
    assert [(each["trial"], each["gpu_utilisation"]) for each in told] == [(0, 0.4), (1, 0.4)]
    lab.says("report", "runs/search it", "-o", "report.html")
    assert '"gpu_gib":4.0' in (lab.lab.folder / "report.html").read_text()
    trial = lab.lab.search.trials[1]
    assert (trial.gpu_peak_bytes, trial.gpu_utilisation) == (4 * GIB, 0.4)


def test_a_gpu_is_given_on_when_it_is_empty(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """While the driver still shows a process of its trial, nothing starts there, though the process has ended."""
    lab = gpu_lab(1)
    lab.ills(
        "if trial.id == 0 and epoch == 1:\n"
        "    state = json.load(open(os.environ['FAKE_NVML']))\n"
        "    state['devices'][0]['compute'] = [{'pid': os.getpid(), 'used': GIB}]\n"
        "    json.dump(state, open('.state', 'w'))\n"
        "    os.replace('.state', os.environ['FAKE_NVML'])\n"
    )
    scheduler = lab.start(trials=2)
    until("the trial's end", lambda: [line["what"] for line in lab.ledger] == ["begins", "ends"])
    until("its process's", lambda: lab.lab.trial_pids() == [])
    for _ in range(20):
        assert lab.lab.ask("status")["message"] == "running, 1 running"
    assert lab.lab.events("job_ended") == []
    lab.nvml.save()
    assert scheduler.wait(60) == 0
    assert lab.states() == ["completed"] * 2


def test_trials_of_a_killed_scheduler_do_not_make_a_gpu_busy(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """The next session knows them for its own, and adopts them where they are."""
    lab = gpu_lab(2)
    lab.lab.hold()
    first = lab.start(trials=5)
    until("two trials", lambda: len(lab.lab.events("job_started")) == 2 and len(lab.began()) == 2)
    first.kill()
    first.wait()
    second = lab.start(trials=5)
    until("the second session", lambda: len(lab.lab.events("session_opened")) == 2)
    lab.lab.let_go()
    assert second.wait(60) == 0
    opened = lab.lab.events("session_opened")[1]
    assert (len(opened["slots"]), opened["adopted"], opened.get("waiting")) == (2, [0, 1], None)
    assert lab.states() == ["completed"] * 5
    assert all(event["usage"]["gpu_seconds"] > 0 for event in lab.lab.events("job_ended"))
    lab.sound()


def test_the_set_of_gpus_changes(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """`set --gpus`: a GPU that joins is looked at first; one that leaves lets its trial finish."""
    lab = gpu_lab(3)
    lab.nvml.devices[2]["compute"] = [FOREIGN]
    lab.nvml.save()
    lab.lab.hold()
    scheduler = lab.start("--gpus", "0", trials=6)
    until("the first trial", lambda: len(lab.began()) == 1)
    lab.says("set", "runs/search it", "--gpus", "1,2")
    until("the second trial", lambda: len(lab.began()) == 2)
    assert lab.began() == [(0, 0), (1, 1)]
    assert lab.lab.search.places.waiting == [
        "gpu 2: a process (pid 4000000001) computes on it: waiting (--when-busy wait)"
    ]
    assert "does not change between GPUs and the CPU" in lab.lab.ask("set", gpus="none")["error"]
    assert "there is no such GPU" in lab.lab.ask("set", gpus=["7"])["error"]
    lab.lab.let_go()
    assert scheduler.wait(60) == 0
    assert {gpu for _, gpu in lab.began()[1:]} == {1}
    assert lab.states() == ["completed"] * 6
    lab.sound()


# ---------------------------------------------------------------------------- where a trial runs


def test_a_trial_runs_near_its_gpu(gpu_lab: Any) -> None:
    """On the cores of its GPU's NUMA node, an even share each; and it is pinned by UUID, whatever the order of GPUs."""
    cores = sorted(os.sched_getaffinity(0))
    lab = gpu_lab(0)
    for number, core in reversed(list(enumerate(cores[:2]))):
        lab.nvml.add(uuid=f"GPU-{number}", cpus=[core])
    lab.ills("note(trial=trial.id, what='cores', gpu=GPU, cores=sorted(os.sched_getaffinity(0)), at=time.monotonic())")
    assert lab.finish(trials=4) == 0
    seen = {(line["gpu"], tuple(line["cores"])) for line in lab.ledger if line["what"] == "cores"}
    assert seen == {(f"GPU-{number}", (core,)) for number, core in enumerate(cores[:2])}

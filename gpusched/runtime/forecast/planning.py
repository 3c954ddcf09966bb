"""What a search will do, told before it starts: brackets, epochs, disk, and by a short calibration its time.

Trains nothing, or, to calibrate, a few first trials for a few epochs in a folder that is thrown away.
The forecast is the real scheduler on the virtual clock, with the durations that were measured.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gpusched.core.events import JobEnded, JobStarted
from gpusched.core.outcome import End
from gpusched.devices import Slot, inventory, place
from gpusched.engines.local import LocalEngine
from gpusched.engines.simulated import simulate
from gpusched.errors import GpuschedError, UsageError
from gpusched.hyperparameters import Choice, Float, HyperParameter, Int
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Begin, Load
from gpusched.oracles import CUSTOM, Job, Oracle, Plan
from gpusched.runtime.reader import build_oracle
from gpusched.runtime.session import SHELL_OPTIONS, named
from gpusched.runtime.startup import resume
from gpusched.runtime.startup.fix_settled import Narrowing
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec, SearchRecord
from gpusched.storage.rundir import RunDir
from gpusched.trial.settings import Settings

#: Enough epochs to tell the first one, which compiles, from those that follow.
_EPOCHS = 3


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What a few short trainings showed."""

    trials: int
    startup_seconds: float  #: of a job: process, model and the extra time of its first epoch
    epoch_seconds: list[float]  #: of one later epoch, each trial's
    checkpoint_bytes: int  #: of one trial's full state


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a search will do if nothing fails. Without calibration the last four are None."""

    algorithm: str
    seed: int | None
    objective: str
    space: list[str]
    plan: Plan
    slots: list[str]  #: their labels
    notes: list[str]
    calibration: Calibration | None = None
    seconds: float | None = None
    busy: float | None = None  #: share of slot-seconds in use, 0 … 1
    disk_bytes: int | None = None  #: of checkpoints, at most


def plan_script(script: Path, options: Mapping[str, Any], *, calibrate: bool) -> Forecast:
    """Raises UsageError where the search could not be begun."""
    if not script.is_file():
        raise UsageError(f"{script}: there is no such script")
    own = dict(options)
    source = Load(script=str(script.resolve()), argv=own.pop("argv", []))
    asked = {name: value for name, value in own.items() if name not in SHELL_OPTIONS}
    source = msgspec.structs.replace(source, options=asked, mode=own.get("start_method") or "auto")
    return asyncio.run(forecast(source, own, calibrate=calibrate))


async def forecast(source: Load, options: Mapping[str, Any], *, calibrate: bool) -> Forecast:
    """Loads the user's code as a search does, and asks the oracle for its plan."""
    launcher = await LauncherClient.start(source)
    try:
        settings = msgspec.convert((await launcher.loaded()).settings, Settings)
        machine = await asyncio.to_thread(inventory)
        per_gpu = 1 if isinstance(settings.per_gpu, str) else settings.per_gpu
        placement = place(machine, settings.gpus, per_gpu, settings.gpus_per_trial, settings.cpu_slots)
        narrowing = None
        if options.get("fix_settled"):
            narrowing = Narrowing(named(settings, options), anew=bool(options.get("restart") or settings.overwrite))
        await launcher.ready()
        space = (await launcher.discover()).space
        if narrowing is None:
            record = resume.record_of(settings, space)
        else:
            record = resume.record_of(settings, narrowing.space(space), {"narrowed": narrowing.record})
        oracle = build_oracle(record)
        notes = [*machine.notes, *placement.notes, *(narrowing.lines() if narrowing is not None else ())]
        if settings.engine == "ray":
            notes.append("the slots are this machine's; those of the Ray cluster are known once it is joined")
        told = Forecast(
            algorithm=record.algorithm,
            seed=settings.seed,
            objective=", ".join(f"{o.name} ({o.direction})" for o in oracle.objectives),
            space=[_in_words(hyperparameter) for hyperparameter in oracle.space.hyperparameters],
            plan=oracle.plan(),
            slots=[slot.label for slot in placement.slots],
            notes=notes,
        )
        if not calibrate or record.algorithm == CUSTOM:
            return told  # What an oracle of the user's will try is known to it alone.
        with tempfile.TemporaryDirectory(prefix="gpusched-calibration-") as folder:
            measured = await _calibrate(launcher, RunDir(Path(folder)), record, placement.slots)
    finally:
        await launcher.close()
    return _in_time(told, measured, record, len(placement.slots))


async def _calibrate(launcher: LauncherClient, run: RunDir, record: SearchRecord, slots: Sequence[Slot]) -> Calibration:
    """Trains the first trials for a few epochs, one in each slot."""
    await launcher.send(Begin(run=str(run.path)))
    ends: asyncio.Queue[JobEnded] = asyncio.Queue()

    def report(event: JobStarted | JobEnded) -> None:
        if isinstance(event, JobEnded):
            ends.put_nowait(event)

    async def no_other() -> LauncherClient:
        raise GpuschedError("the launcher died while calibrating; see what the trials printed")

    engine = LocalEngine(run, launcher, report, no_other)
    jobs = _first_jobs(build_oracle(record), len(slots))
    for job, slot in zip(jobs, slots, strict=False):
        await engine.launch(_short(run, record, job, slot))
    ended = [await ends.get() for _ in jobs]
    good = [end for end in ended if end.end is End.COMPLETED]
    if not good:
        failure = next((end.failure for end in ended if end.failure is not None), None)
        why = failure.message if failure is not None else "no reason known"
        raise GpuschedError(f"calibration: none of {len(ended)} trials could be trained ({why})")
    starts, epochs, sizes = [], [], []
    for end in good:
        folder = run.trial(end.trial)
        seconds = [line["seconds"] for line in read_metrics(folder.metrics)]
        later = seconds[1:] or seconds
        epochs.append(statistics.mean(later))
        wall = end.usage.wall_seconds if end.usage is not None and end.usage.wall_seconds else sum(seconds)
        starts.append(max(0.0, wall - len(seconds) * epochs[-1]))
        sizes.append(sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file()))
    return Calibration(
        trials=len(good),
        startup_seconds=statistics.median(starts),
        epoch_seconds=epochs,
        checkpoint_bytes=int(statistics.mean(sizes)),
    )


def _first_jobs(oracle: Oracle, count: int) -> list[Job]:
    jobs: list[Job] = []
    while len(jobs) < count and isinstance(job := oracle.ask(), Job):
        jobs.append(job)
    return jobs


def _short(run: RunDir, record: SearchRecord, job: Job, slot: Slot) -> JobSpec:
    return JobSpec(
        run=str(run.path),
        trial=job.trial_id,
        attempt=1,
        values=job.values,
        start_epoch=0,
        stop_epoch=min(_EPOCHS, record.arguments.get("max_epochs", _EPOCHS)),
        seed=record.seed,
        slot=slot.index,
        env=slot.env,
        cores=slot.cores,
        memory_limit_bytes=slot.memory_limit_bytes,
        gpu_bytes=slot.total_bytes,
        share=slot.share,
        space=record.space,
    )


def _in_time(told: Forecast, measured: Calibration, record: SearchRecord, slots: int) -> Forecast:
    """The forecast with the time it takes and the disk it needs."""
    if told.plan.trials is None:
        return msgspec.structs.replace(told, calibration=measured)
    speeds = measured.epoch_seconds
    run = simulate(
        build_oracle(record),
        slots,
        lambda trial, values: speeds[trial % len(speeds)],
        # Who is promoted does not matter here, only how many are.
        lambda trial, values, epoch: (trial * 7919 % 1009) / epoch,
        startup_seconds=measured.startup_seconds,
    )
    return msgspec.structs.replace(
        told,
        calibration=measured,
        seconds=run.makespan,
        busy=run.busy,
        disk_bytes=measured.checkpoint_bytes * told.plan.trials,
    )


def _in_words(hyperparameter: HyperParameter) -> str:
    """A hyperparameter's name, kind and range, and when it counts."""
    match hyperparameter:
        case Int() | Float():
            low, high, step = hyperparameter.min_value, hyperparameter.max_value, hyperparameter.step
            text = f"{low:g} to {high:g}" if isinstance(hyperparameter, Float) else f"{low} to {high}"
            by_factor = step is not None and hyperparameter.sampling != "linear"
            if step is not None and (by_factor or isinstance(hyperparameter, Float) or step != 1):
                text += f", {'times' if by_factor else 'step'} {step:g}"
            if hyperparameter.sampling != "linear":
                text += f", {hyperparameter.sampling} scale"
        case Choice():
            text = "one of " + ", ".join(map(str, hyperparameter.values))
        case _:
            values = list(hyperparameter.values)
            text = f"always {values[0]}" if len(values) == 1 else "one of " + ", ".join(map(str, values))
    when = " and ".join(map(str, hyperparameter.conditions))
    return f"{hyperparameter.name}: {type(hyperparameter).__name__}, {text}" + (f", if {when}" if when else "")

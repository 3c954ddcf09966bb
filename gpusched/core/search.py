"""The search as a state machine: events in, commands out.

Pure: no clock, files, processes or asyncio. Time arrives inside events, and the same events give
the same state and the same commands, so resuming a search is handling its journal again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from gpusched.core import events
from gpusched.core.asked import trials as asked
from gpusched.core.asked.oracle import Asking
from gpusched.core.commands import AnyCommand, Finish, Interrupt, Launch, Release
from gpusched.core.events import AnyEvent, JobEnded
from gpusched.core.faults import InARow, Ledger, Verdict, as_it_was, failed_in_row, hang, too_large
from gpusched.core.outcome import End
from gpusched.core.policy import Phase, Policy
from gpusched.core.slot_queue import Places
from gpusched.core.slots import SlotTable
from gpusched.core.trial import Trial, TrialState
from gpusched.oracles import Done, Job, Oracle, Wait


class Search:
    """All that is known of a search, and what is to be done next."""

    def __init__(self, oracle: Oracle, policy: Policy | None = None) -> None:
        self.oracle = oracle
        self.policy = policy or Policy()
        self.phase = Phase.CLOSED
        self.places = Places()
        self.trials: dict[int, Trial] = {}
        self.at = 0.0  #: seconds of running time at the newest event
        self.rested = 0.0  #: of these, so many in which it was paused and nothing ran
        self.paused_at = 0.0  #: when it was paused last, in seconds of running time
        self.max_time: float | None = None  #: seconds of running time that this session may come to
        self.sessions = 0
        self.finished_jobs = 0
        self.added: list[dict[str, Any]] = []  #: configurations that people asked for
        self.done = False  #: the oracle has nothing more to ask for
        self.ending: Finish | None = None  #: how this session is to end, once nothing runs
        self._rules = 0
        self._faults = Ledger()
        self._asking = Asking(oracle)
        self._running: set[int] = set()
        self._waiting = False  #: the oracle said Wait, and nothing was told since
        self._failed_in_row = InARow()

    # ------------------------------------------------------------------ what views read

    @property
    def slots(self) -> SlotTable:
        return self.places.table

    @property
    def running(self) -> list[Trial]:
        """Trials in training, lowest id first."""
        return [self.trials[i] for i in sorted(self._running)]

    @property
    def completed(self) -> int:
        """Trials that have at least one trained job and did not fail later."""
        return len(self.oracle.scores)

    @property
    def rests(self) -> bool:
        """It is paused, and its last trial has ended."""
        return self.phase is Phase.PAUSED and not self._running

    def worked(self, now: float) -> float:
        """Seconds of running time until now, without those of a pause: what is held against max_time."""
        return now - self.rested - (max(0.0, now - self.at) if self.rests else 0.0)

    # ------------------------------------------------------------------ the machine

    def handle(self, event: AnyEvent) -> list[AnyCommand]:
        """What to do now that this has happened."""
        if self.rests:
            self.rested += max(0.0, event.at - self.at)
        self.at = event.at
        commands: list[AnyCommand] = []
        match event:
            case JobEnded():
                commands += self._job_ended(event)
            case events.JobStarted():
                trial = self.trials.get(event.trial)
                if trial is not None and trial.attempt == event.attempt:
                    trial.pid = event.pid or None
            case events.SessionOpened():
                self._open(event)
            case events.SessionClosed():
                self.phase = Phase.CLOSED
            case events.SlotsChanged():
                self.places.lay(event)
                self._seat(self.running)
            case events.DeviceFailed():
                commands += self._quarantine(event.device, event.reason, now=True)
            case events.TrialHung():
                commands += hang(self.trials.get(event.trial), event)
            case events.TimeExpired():
                commands += self._stop(Finish(reason="max_time is used", code=0), now=False)
            case events.MaxTimeChanged():
                self.max_time = event.max_time
            case events.StopAsked():
                commands += self._stop(Finish(reason=event.reason, code=130), now=event.now)
            case events.TrialStopAsked():
                commands += self._stop_trial(event)
            case events.TrialRetryAsked():
                commands += asked.retry(self.oracle, self.trials.get(event.trial))
            case events.TrialsGivenBack():
                self._failed_in_row.forget(asked.give_back(self.oracle, self.trials, event.trials))
                self._waiting = self.done = False
            case events.ConfigurationAdded():
                self._add(event.values)
            case events.Advised() | events.Heard():
                self._asking.take(event)
                self._waiting = self.done = False
            case events.OracleFailed():
                commands += self._stop(Finish(reason=event.message, code=1), now=False)
            case events.PauseAsked():
                if self.phase in (Phase.RUNNING, Phase.PAUSED):
                    self.paused_at = self.at if self.phase is Phase.RUNNING else self.paused_at
                    self.phase = Phase.PAUSED
                    commands += self._interrupt_all(now=event.now)
            case events.ResumeAsked():
                if self.phase is Phase.PAUSED:
                    self.phase = Phase.RUNNING
            case _:
                assert_never(event)
        if self.phase is Phase.RUNNING:
            commands += self._fill()
        if self.phase in (Phase.RUNNING, Phase.PAUSED):
            commands += self._asking.commands(running=self._running)
        if self.phase in (Phase.RUNNING, Phase.STOPPING) and not self._running and (finish := self._finish()):
            commands.append(finish)
        return commands

    # ------------------------------------------------------------------ sessions

    def _open(self, event: events.SessionOpened) -> None:
        self.sessions += 1
        self.phase = Phase.RUNNING
        self.ending = None
        self.max_time = event.max_time
        # A person who starts a search again that failures had ended has seen them.
        self._failed_in_row.clear()
        if event.max_trials != self.oracle.max_trials:
            self.oracle.set_max_trials(event.max_trials)
        self._waiting = self.done = False
        for values in event.added:
            self._add(values)
        self._asking.reset()
        self._rules = event.rules
        # … and has had the time to mend a device.
        self._faults = Ledger()
        self.places.quarantined = {}
        self.places.lay(event)
        self._seat([self.trials[i] for i in sorted(self._running & set(event.adopted))])
        for trial_id in sorted(self._running - set(event.adopted)):
            self._requeue(self.trials[trial_id])

    def _add(self, values: dict[str, Any]) -> None:
        self.oracle.add(values)
        self.added.append(values)
        self._waiting = self.done = False

    def _seat(self, running: list[Trial]) -> None:
        self.places.seat(running, as_before=self._rules > 0)
        self.oracle.slots = max(1, len(self.slots)) if self._rules else len(self.slots)

    def _quarantine(self, device: str, reason: str, *, now: bool) -> list[AnyCommand]:
        """Nothing more runs on this device in this session."""
        if device in self.places.quarantined:
            return []
        self.places.quarantined[device] = reason
        self._seat(self.running)
        return [
            Interrupt(trial=trial.id, attempt=trial.attempt, now=now)
            for trial in self.running
            if device in trial.devices
        ]

    # ------------------------------------------------------------------ starting

    def _fill(self) -> list[AnyCommand]:
        commands: list[AnyCommand] = []
        places = self.places
        commands += [self._launch(*found) for found in places.alone(lambda: self.running)]
        commands += [self._launch(*found) for found in places.pending(last=False)]
        while self.slots.free and (trial := self._next()) is not None:
            if trial.alone:
                places.enqueue(trial)
                commands += [self._launch(*found) for found in places.alone(lambda: self.running)]
                continue
            slot = self.slots.take(trial.id, near=trial.where.node if trial.where is not None else "")
            assert slot is not None
            commands.append(self._launch(trial, slot))
        commands += [self._launch(*found) for found in places.pending(last=True)]
        return commands

    def _launch(self, trial: Trial, slot: int) -> Launch:
        trial.move(TrialState.RUNNING)
        trial.attempt += 1
        trial.where = self.slots.slots[slot]
        trial.slot, trial.devices, trial.started_at, trial.pid = slot, trial.where.devices, self.at, None
        trial.was_alone, trial.hung = trial.alone, None
        self._running.add(trial.id)
        job = trial.job
        return Launch(
            trial=trial.id,
            attempt=trial.attempt,
            slot=slot,
            start_epoch=job.start_epoch,
            stop_epoch=job.stop_epoch,
            values=job.values,
            alone=bool(trial.alone),
        )

    def _next(self) -> Trial | None:
        while not (self._waiting or self.done):
            answer = self.oracle.ask()
            if isinstance(answer, Wait):
                self._waiting = True
            elif isinstance(answer, Done):
                self.done = True
            else:
                trial = self._take_job(answer)
                if trial is not None:
                    return trial
        return None

    def _take_job(self, job: Job) -> Trial | None:
        trial = self.trials.get(job.trial_id)
        if trial is None:
            trial = self.trials[job.trial_id] = Trial(job.trial_id, job)
            return trial
        trial.job, trial.partial = job, {}
        if trial.stop_asked:
            self._end_unlaunched(trial)
            return None
        trial.move(TrialState.PENDING)
        trial.failures = trial.kills = trial.hangs = 0
        trial.died_on.clear()
        return trial

    # ------------------------------------------------------------------ ending

    def _job_ended(self, event: JobEnded) -> list[AnyCommand]:
        trial = self.trials.get(event.trial)
        if trial is None or trial.attempt != event.attempt or trial.id not in self._running:
            return []  # An end told twice: by the launcher and by the file it left.
        self._leave_slot(trial)
        progress, trial.epochs = event.epochs > trial.epochs, max(trial.epochs, event.epochs)
        trial.lines = event.lines
        if event.late:
            self.oracle.extend(trial.id, event.late, event.values)
        if event.failure is not None:
            trial.failure = event.failure
        if event.usage is not None:
            trial.used(event.usage)
        event = asked.ending(trial, event)
        if self._rules:
            event = as_it_was(trial, event)
            verdict = self._faults.judge(trial, event, set(self.places.quarantined))
            commands: list[AnyCommand] = []
            for device, reason in self._faults.broken().items():
                commands += self._quarantine(device, reason, now=False)
            if verdict is not Verdict.USUAL:
                return commands + self._despite(trial, event, verdict)
            return commands + self._by_end(trial, event, event.end, progress=progress)
        return self._by_end(trial, event, event.end, progress=progress)

    def _despite(self, trial: Trial, event: JobEnded, verdict: Verdict) -> list[AnyCommand]:
        """It ended for a reason that is not, or not only, its own."""
        if verdict is not Verdict.LOST:
            self._requeue(trial)
            return self._release()
        trial.failure = event.failure if trial.hangs else too_large(trial, event)
        return self._fail(trial)

    def _by_end(self, trial: Trial, event: JobEnded, end: End, *, progress: bool) -> list[AnyCommand]:
        match end:
            case End.COMPLETED:
                trial.move(TrialState.PAUSED)
                trial.failure = None
                self.finished_jobs += 1
                self._tell(trial, event.scores)
            case End.FAILED:
                trial.failures += 1
                if event.retry and trial.failures <= self.policy.max_retries:
                    self._requeue(trial)
                else:
                    return self._fail(trial)
            case End.KILLED:
                # Without a failure it went down with its machine or its launcher: that says nothing of the trial.
                trial.kills = 0 if progress else trial.kills + (event.failure is not None)
                if trial.kills < self.policy.max_kills:
                    self._requeue(trial)
                else:
                    return self._fail(trial)
            case End.INTERRUPTED:
                self._requeue(trial)
            case End.STOPPED:
                self._drop(trial, TrialState.STOPPED)
            case End.OVERSIZE:
                self._drop(trial, TrialState.OVERSIZE)
            case End.FATAL:
                self._requeue(trial)
                message = event.failure.message if event.failure else "a trial found that the search cannot go on"
                return self._stop(Finish(reason=message, code=1), now=False)
            case _:
                assert_never(end)
        return self._release()

    def _leave_slot(self, trial: Trial) -> None:
        self._running.discard(trial.id)
        self.places.leave(trial, len(self._running), lambda: self.running)
        if trial.started_at is not None:
            trial.seconds += max(0.0, self.at - trial.started_at)
        trial.pid = None

    def _requeue(self, trial: Trial) -> None:
        if trial.id in self._running:
            self._running.discard(trial.id)
            trial.slot = None
        trial.move(TrialState.PENDING)
        self.places.enqueue(trial)

    def _tell(self, trial: Trial, told: Mapping[str, list[float | None]]) -> None:
        names = [objective.name for objective in self.oracle.objectives]
        scores = {name: told.get(name, []) for name in names}
        self.oracle.tell(trial.job, scores if len(names) > 1 else scores[names[0]])
        self._waiting = self.done = False

    def _drop(self, trial: Trial, state: TrialState) -> None:
        trial.move(state)
        self.oracle.fail(trial.job)
        self._waiting = self.done = False

    def _fail(self, trial: Trial) -> list[AnyCommand]:
        self._drop(trial, TrialState.FAILED)
        commands = self._release()
        row = self._failed_in_row.add(trial.id)
        if len(row) >= self.policy.max_consecutive_failed:
            commands += self._stop(Finish(reason=failed_in_row(row, trial), code=1), now=False)
        return commands

    def _release(self) -> list[AnyCommand]:
        released = self.oracle.released()
        for trial_id in released:
            trial = self.trials.get(trial_id)
            if trial is not None and trial.state is TrialState.PAUSED:
                trial.move(TrialState.COMPLETED)
        return [Release(trials=released)] if released else []

    # ------------------------------------------------------------------ stopping

    def _stop(self, finish: Finish, *, now: bool) -> list[AnyCommand]:
        if self.phase is Phase.CLOSED:
            return []
        if self.phase is not Phase.STOPPING:
            self.phase, self.ending = Phase.STOPPING, finish
        return self._interrupt_all(now=now)

    def _interrupt_all(self, *, now: bool) -> list[AnyCommand]:
        return [Interrupt(trial=trial.id, attempt=trial.attempt, now=now) for trial in self.running]

    def _stop_trial(self, event: events.TrialStopAsked) -> list[AnyCommand]:
        trial = self.trials.get(event.trial)
        commands: list[AnyCommand] = [*asked.stop(trial, event)]
        if trial is not None and trial.state is TrialState.PENDING:
            self.places.withdraw(trial)
            self._end_unlaunched(trial)
        return commands

    def _end_unlaunched(self, trial: Trial) -> None:
        """A trial that was asked to stop has a job, and no process."""
        if trial.keep_asked and asked.has_score(trial, trial.partial):
            if trial.state is not TrialState.PAUSED:
                trial.move(TrialState.PAUSED)
            self._tell(trial, trial.partial)
        else:
            self._drop(trial, TrialState.STOPPED)

    def _finish(self) -> Finish | None:
        finish = self.ending
        if self.phase is Phase.RUNNING:
            if self.done and not self.places and not self.oracle.untold:
                finish = Finish(reason="complete", code=0)
            elif not self.slots and not self.places.waiting:
                why = self.places.without()
                finish = Finish(reason=f"no device is left{' (' + why + ')' if why else ''}", code=1)
        if finish is not None and finish.code == 0 and not self.completed:
            finish = Finish(reason=f"{finish.reason}, without one completed trial", code=1)
        return finish

"""Random histories through the real engine in virtual time; each is made by its seed and replays exactly.

    make simulate SEEDS=5000
    python tests/simulation/simulate.py --seed 1234 --trace

A history is some dozens of random events (alerts, commands, leaves, dead providers, steps of the clock, kills of the
process before or after any commit), and after each of the engine's steps the invariants of ``docs/invariants.md`` are
checked.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from invariants import Broken, Checker, Sender
from structlog.testing import capture_logs

from tocsin.alerts.matchers import Matcher
from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.catalogue.people import Contact
from tocsin.drill.stage import Outage, Stage, scratch_folder
from tocsin.engine import commands as c
from tocsin.engine import governing
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import Organisation, demo_organisation, record_of
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_instant
from tocsin.kernel.errors import TocsinError
from tocsin.kernel.facts import Actor
from tocsin.kernel.ports import Store, Transaction
from tocsin.oncall.schedules import Leave, Override
from tocsin.policy.load import default_policy_text
from tocsin.store.sqlite import SqliteStore

STARTS = ("2026-03-03T10:00:00Z", "2026-03-08T03:00:00Z", "2026-03-09T07:30:00Z", "2026-03-06T16:30:00Z")
"""A working morning, a Sunday night, the hour before a change of shift, and before a weekend."""
KEYS = 8
ALERTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("payments down", "payments", {}),
    ("the primary database is unreachable", "database", {"state": "down"}),
    ("checkout errors at 12 %", "checkout", {"error_rate_percent": "12"}),
    ("response time at 9 s", "api", {"latency_ms": "9000"}),
    ("something odd", "", {}),
    ("e-mails are delayed", "notifications", {}),
    ("slow reports", "reports", {}),
    ("a typo in the documentation", "web-application", {}),
    ("customer credentials exposed", "authentication", {"type": "security", "data_exposed": "true"}),
    ("balances differ", "database", {"type": "data", "subtype": "corruption"}),
)


OWNER = "anna"


class Killed(BaseException):
    """The process ends here. No ``except Exception`` may hold it up, as none holds up SIGKILL."""


class Mortal:
    """Stands between the engine and its store. ``left`` commits from now the process dies: before that one, or after it.

    Every unit of work is a commit of its own here, so that the order of all of them is the same in each run.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.left = 0
        self.before = False
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def submit(self, work: Callable[[Transaction], Any]) -> Future[Any]:
        if self.dead:
            raise Killed
        dies = self.left == 1
        self.left = max(0, self.left - 1)
        if dies and self.before:
            self.dead = True
            self._half(work)
            raise Killed
        future = self.inner.submit(work)
        future.exception()
        if dies:
            self.dead = True
            raise Killed
        return future

    def write(self, work: Callable[[Transaction], Any]) -> Any:
        return self.submit(work).result()

    def _half(self, work: Callable[[Transaction], Any]) -> None:
        def half(tx: Transaction) -> None:
            work(tx)
            raise Killed

        self.inner.submit(half).exception()


@lru_cache(maxsize=1)
def blank() -> Path:
    """A migrated, empty database that every history copies; one for each process."""
    blank.folder = scratch_folder()  # type: ignore[attr-defined]  # kept for as long as the process lives
    store = SqliteStore(blank.folder.name)  # type: ignore[attr-defined]
    store.migrate()
    store.close()
    return Path(blank.folder.name) / "tocsin.db"  # type: ignore[attr-defined]


@lru_cache(maxsize=len(STARTS))
def organisation_at(now: int) -> Organisation:
    """The demonstration's people at one of the starts; read from its file once."""
    return demo_organisation(now)


class Simulation:
    """One history. ``trace`` says what happened; the same seed says the same."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.trace: list[str] = []
        self.stage = Stage(
            folder, organisation=self._organisation, policy=default_policy_text(),
            start=parse_instant(self.random.choice(STARTS)), seed=seed, blank=blank(), wrap=self._mortal,
        )  # fmt: skip
        self.people = sorted(self.stage.engine.directory().people)
        self.words = 0
        self.gone_next = ""
        self.checker = Checker(self.stage)
        self.calm = self.random.random() < 0.15
        """a history of weeks, about what is owed afterwards: action items, post-mortems, the review of the policy"""
        self.actions: list[tuple[int, Callable[[], None]]] = [
            (20, self.alerts), (10, self.resolves), (34, self.command), (10, self.tap), (5, self.provider), (5, self.leave),
            (2, self.override), (3, self.deactivate), (3, self.clock), (4, self.kill), (7, self.arm), (2, self.change),
            (2, self.silence), (1, self.loud), (1, self.adopt), (4, self.redact),
        ]  # fmt: skip
        if self.calm:
            self.actions = [
                (6, self.quiet_incident), (20, self.item), (2, self.review), (3, self.leave), (2, self.deactivate), (2, self.clock),
                (3, self.kill), (4, self.arm), (3, self.provider),
            ]  # fmt: skip

    def _mortal(self, store: Store) -> Store:
        self.mortal = Mortal(store)
        return self.mortal  # type: ignore[return-value]

    def _organisation(self, now: int) -> Organisation:
        """The demonstration's people; in some histories some of them have a telephone and a mailbox instead."""
        found = organisation_at(now)
        if self.random.random() < 0.5:
            return found
        people = list(found.people)
        for index, person in enumerate(people):
            if self.random.random() < 0.5:
                contacts = (
                    Contact("sms", "sms", "+15550100", "", now, now),
                    Contact("mail", "email", person.email, "", now, now),
                )
                people[index] = msgspec.structs.replace(person, contacts=contacts)
        return msgspec.structs.replace(found, people=tuple(people))

    def run(self) -> None:
        """The whole history; raises :class:`Broken` where an invariant does not hold."""
        weights = [weight for weight, _ in self.actions]
        if self.calm:
            for action in (self.quiet_incident, self.item):
                action()
                self.checker.check(at_rest=False)
        for _ in range(self.random.randint(8, 26)):
            action = self.random.choices(self.actions, weights)[0][1]
            self.survive(action)
            self.checker.check(at_rest=False)
            if self.random.random() < 0.8:
                self.move(self.pause())
        self.mortal.left = 0
        self.move(self.random.choice((MINUTE, 20 * MINUTE, 45 * MINUTE)))
        self.checker.whole()
        self.stage.close()
        self.checker.words_are_gone()

    def say(self, text: str) -> None:
        self.trace.append(f"{self.stage.now / SECOND:>10.1f} s  {text}")

    def survive(self, action: Callable[[], None]) -> None:
        """Does something; where the process dies of it, it is started again after a while."""
        try:
            action()
        except Killed:
            self.reborn()

    def reborn(self) -> None:
        down = self.random.choice((0, SECOND, MINUTE, 3 * MINUTE, 20 * MINUTE, 2 * HOUR))
        self.say(f"the process died; back after {down // SECOND} s")
        self.stage.kill(down)
        self.checker.disturb()
        if down and self.random.random() < 0.4:
            # somebody is quicker than the engine's first step
            self.survive(self.item if self.calm else self.command)

    def pause(self) -> int:
        if self.calm:
            return self.random.randint(0, self.random.choice((HOUR, DAY, 4 * DAY, 20 * DAY)))
        longest = self.random.choice(
            (SECOND, 30 * SECOND, 3 * MINUTE, 3 * MINUTE, 3 * MINUTE, 12 * MINUTE, 40 * MINUTE)
        )
        if self.random.random() < 0.01:
            longest = 3 * HOUR
        return self.random.randint(0, longest)

    def move(self, duration: int) -> None:
        """Lets time pass, from due moment to due moment; checks after each step of the engine."""
        end = self.stage.now + duration
        while True:
            self.rest()
            due = self.stage.next_due()
            if due is None or due > end:
                break
            self.stage.clock.move_to(self.stage.instant(due))
        if self.stage.now < end:
            self.stage.clock.move_to(self.stage.instant(end))
            self.rest()

    def rest(self) -> None:
        """Steps until nothing is due; a death in between is survived like any other."""
        for _ in range(1000):
            try:
                done = self.stage.engine.step()
            except Killed:
                self.reborn()
                continue
            if not done:
                self.checker.check(at_rest=True)
                return
            self.checker.check(at_rest=False)
        raise Broken("the engine comes to rest: it is still at work after 1000 steps")

    # what happens

    def alerts(self) -> None:
        batch = []
        for _ in range(self.random.choice((1, 1, 1, 2, 5))):
            summary, service, labels = self.random.choice(ALERTS)
            ends = self.stage.clock.now() + 5 * MINUTE if self.random.random() < 0.15 else 0
            key = f"k{self.random.randrange(KEYS)}"
            if all(one.dedup_key != key for one in batch):
                batch.append(
                    Alert(
                        "trigger",
                        key,
                        summary,
                        "critical",
                        service=service,
                        labels=labels | {"service": service},
                        ends_at=ends,
                    )
                )
        self.say(f"alerts: {', '.join(f'{one.dedup_key} “{one.summary}”' for one in batch)}")
        self.send(batch)

    def resolves(self) -> None:
        key = f"k{self.random.randrange(KEYS)}"
        action = "resolve" if self.random.random() < 0.85 else "acknowledge"
        self.say(f"sender: {action} {key}")
        self.send([Alert(action, key)])

    def send(self, batch: list[Alert]) -> None:
        """Sends; until the answer is there the sender does not know whether it arrived."""
        for one in batch:
            self.checker.alerts.setdefault(one.dedup_key, Sender()).sure = False
        self.stage.receive(batch)
        for one in batch:
            sender = self.checker.alerts[one.dedup_key]
            if one.action != "acknowledge":
                sender.firing, sender.sure = one.action == "trigger", True
                sender.ends_at = one.ends_at

    def change(self) -> None:
        self.say("a deployment")
        self.stage.receive([], [Change("api 7.1 deployed", "ci", "api")])

    def command(self) -> None:
        """Every third one by the owner of the installation, who may do what others are refused."""
        person = OWNER if self.random.random() < 0.35 else self.random.choice(self.people)
        self.attempt(self.any_command(), person)

    def word(self) -> str:
        """A text that occurs nowhere else, so that it is known again wherever it was copied to."""
        self.words += 1
        return f"because zq{self.words:06d}zq"

    def any_command(self) -> c.Command:
        """Any verb with arguments that make some sense."""
        r, now = self.random, self.stage.clock.now()
        names = self.checker.names() or ["INC-1"]
        incident, other, person = r.choice(names), r.choice(names), r.choice(self.people)
        known = self.checker.named(incident)
        item = f"ACT-{r.randint(1, max(1, len(self.checker.others)))}"
        service = r.choice(("api", "payments", "database", "web-application", "reports"))
        reason = self.word()
        made: list[tuple[int, Callable[[], c.Command]]] = [
            (4, lambda: c.Declare(r.choice(ALERTS)[0], r.choice(("", "P1", "P2", "P3", "P4")), reason, services=r.choice(([], ["api"], ["payments", "web-application"])), drill=r.random() < 0.2)),
            (10, lambda: c.Acknowledge(incident)),
            (5, lambda: c.Decline(incident, reason)),
            (9, lambda: c.SetSeverity(incident, r.choice(("P1", "P2", "P3", "P4")), reason, r.choice(("", "nobody is there")))),
            (2, lambda: c.SetType(incident, r.choice(("security", "data", "performance")), r.choice(("", "data_breach", "complete_outage")))),
            (4, lambda: c.AssignRole(incident, r.choice(("incident_commander", "technical_lead", "communication_lead")), person)),
            (5, lambda: c.PostUpdate(incident, reason, r.choice(("internal", "customers")), 0, r.choice((0, 0, now - r.randint(0, HOUR))))),
            (1, lambda: c.AddNote(incident, reason, now - r.randint(0, HOUR))),
            (1, lambda: c.AddDecision(incident, reason)),
            (9, lambda: c.Move(incident, r.choice(("identify", "monitor", "monitor", "resolve", "resolve", "close", "reopen", "false_alarm", "investigate")), reason, r.choice(("", "nobody is there")), r.choice(("", "it is fine")))),
            (4, lambda: c.Protocol(incident, r.choice(("assess", "activate", "mitigate")), reason)),
            (1, lambda: c.Activate(incident)),
            (4, lambda: c.PageSomeone(incident, [r.choice(("cto", "on_call", "engineering_lead", person))], reason)),
            (6, lambda: c.Merge(incident, other, "one cause")),
            (5, lambda: c.Split(incident, r.choice(known.merged_from) if known and known.merged_from else other, reason="two causes")),
            (3, lambda: c.Split(incident, "", [f"{one.ref.integration}/{one.ref.key}" for one in known.alerts.values() if r.random() < 0.5] if known else ["i/k"], "two causes")),
            (3, lambda: c.Pause(incident, now + r.randint(1, 6 * HOUR), reason)),
            (1, lambda: c.Resume(incident)),
            (2, lambda: c.StandUp(incident, reason)),
            (3, lambda: c.Validate(incident, r.choice(("functional", "performance", "security", "limited_users")), r.choice(("passed", "failed", "not_applicable")), reason)),
            (2, lambda: c.PostMortem(incident, r.choice(("timeline", "root_cause", "meeting_booked", "meeting_held", "draft", "review", "publication")), reason)),
            (1, lambda: c.PlanStep(incident, r.choice(("recovery", "payments")), r.choice(("stop_damage", "restore_basics", "validate")), "done", reason)),
            (2, lambda: c.RestoreService(incident, service, r.choice(("limited", "full")), reason, r.choice(("", "it is fine")))),
            (1, lambda: c.DraftMessage(incident, r.choice(("investors", "partners", "media")), reason)),
            (1, lambda: c.ApproveMessage(incident, r.choice([*(known.outgoing if known else ()), "none"]))),
            (1, lambda: c.SendMessage(incident, r.choice([*(known.outgoing if known else ()), "none"]), reason)),
            (1, lambda: c.Milestone(incident, r.choice(("impact_began", "contained", "mitigated")), now - r.randint(0, HOUR), reason)),
            (1, lambda: c.Impact(incident, {"users_affected_percent": r.randint(0, 100), "who": reason})),
            (1, lambda: c.AddTask(incident, reason, person)),
            (1, lambda: c.ChangeTask(incident, r.choice([*(known.tasks if known else ()), "none"]), r.choice(("done", "dropped")), "", reason)),
            (2, lambda: c.AddAction(incident, reason, person, "no query over 1 s")),
            (1, lambda: c.ReportAction(item, reason)),
            (1, lambda: c.FinishAction(item, reason)),
            (3, lambda: c.Waive(incident, r.choice(("acknowledge", "respond", "update", "resolve", "tell", "stand_up", "post_mortem")), reason)),
            (2, lambda: c.Ask(incident, r.choice(("severity", "move", "waive")), {"severity": "P3", "reason": reason} if r.random() < 0.5 else {"to": "resolve", "override": reason}, reason)),
            (3, lambda: c.AnswerRequest(incident, r.choice([*(known.requests if known else ()), "none"]), r.random() < 0.7, reason)),
            (1, lambda: c.SetServiceState(incident, service, r.choice(("up", "degraded", "down")), now - r.randint(0, HOUR))),
            (1, lambda: c.Measure(incident, r.choice(("response_time_p95", "data_lost")), "12", "ms", reason)),
            (2, lambda: c.AttachReport(incident, reason, "ticket", "a customer", service)),
            (2, lambda: c.Affect(incident, [service], reason)),
            (1, lambda: c.Rename(incident, reason, reason)),
        ]  # fmt: skip
        return r.choices([make for _, make in made], [weight for weight, _ in made])[0]()

    def redact(self) -> None:
        """Words that somebody said are taken out again, one fact of the many."""
        names = [name for name in self.checker.names() if self.checker.said(name)]
        if names:
            incident = self.random.choice(names)
            version, self.gone_next = self.random.choice(self.checker.said(incident))
            self.attempt(c.Redact(incident, str(version), "a password"), OWNER)

    def quiet_incident(self) -> None:
        """One of low severity that somebody declares and ends, so that something can be learned from it."""
        r, person = self.random, self.random.choice(self.people)
        incident = f"INC-{r.randint(1, len(self.checker.known) + 1)}"
        commands = [c.Acknowledge(incident), c.Move(incident, "resolve", "a reason", "", "it is fine")]
        if incident == f"INC-{len(self.checker.known) + 1}":
            commands.insert(0, c.Declare(r.choice(ALERTS)[0], r.choice(("P3", "P4")), services=["api"]))
        elif r.random() < 0.5:
            commands = [c.Move(incident, "close", "a reason", "", "it is fine")]
        for command in commands:
            self.attempt(command, person)
        known = self.checker.named(incident)
        if (
            known is not None and known.open
        ):  # weeks of an incident that nobody ends are a long history of little
            self.attempt(c.Move(incident, "resolve", "it is over", "", "it is fine"), OWNER)

    def item(self) -> None:
        """Something about an action item."""
        r, now = self.random, self.stage.clock.now()
        incident = f"INC-{r.randint(1, max(1, len(self.checker.known)))}"
        item = f"ACT-{r.randint(1, max(1, len(self.checker.others)))}"
        first = c.AddAction(
            incident,
            "an index",
            r.choice(self.people),
            "no query over 1 s",
            r.choice(("immediate", "short_term", "long_term")),
        )
        if not self.checker.others:
            self.attempt(first)
            return
        made: list[tuple[int, Callable[[], c.Command]]] = [
            (6, lambda: first),
            (5, lambda: c.ReportAction(item, "half of it")),
            (3, lambda: c.ChangeAction(item, "later", r.choice(("", *self.people)), r.choice((0, now + r.randint(1, 30) * DAY)), r.choice(("", "long_term")))),
            (5, lambda: c.FinishAction(item, "built")),
            (5, lambda: c.VerifyAction(item, "measured", r.random() < 0.6)),
            (1, lambda: c.DropAction(item, "not worth it")),
        ]  # fmt: skip
        self.attempt(r.choices([make for _, make in made], [weight for weight, _ in made])[0]())

    def review(self) -> None:
        self.attempt(c.ReviewPolicy("read and found good"))

    def attempt(self, command: c.Command, person: str = "") -> None:
        """Somebody gives a command, which may be refused."""
        person = person or self.random.choice(self.people)
        self.say(f"{person}: {command.verb} {msgspec.to_builtins(command)}")
        try:
            self.stage.execute(person, command)
        except TocsinError as error:
            self.say(f"  refused: {error.sentence[:160]}")
        else:
            if isinstance(command, c.Redact) and self.gone_next:
                self.checker.gone.add(self.gone_next)

    def silence(self) -> None:
        now, kind = self.stage.clock.now(), self.random.choice(("silence", "maintenance"))
        end, service = now + self.random.randint(MINUTE, HOUR), self.random.choice(("api", "payments"))
        self.say(f"quiet: {kind} of {service} for {(end - now) // SECOND} s")
        owner = person_principal(OWNER, "owner")
        if kind == "silence":
            matchers = [Matcher("service", service)]
            wish = Silence("", matchers, now, end, OWNER, "known", covers_p1=self.random.random() < 0.5)
            self.stage.engine.silence(owner, wish)
        else:
            window = Maintenance("", [service], now, end, OWNER, "an upgrade", self.random.random() < 0.5)
            self.stage.engine.maintenance(owner, window)

    def loud(self) -> None:
        """What is quiet is ended before its time."""
        silences, windows = self.stage.engine.quiet()
        for kind, one in [("silence", one) for one in silences[:1]] + [
            ("maintenance", one) for one in windows[:1]
        ]:
            self.say(f"{kind} ends by hand")
            self.stage.engine.end_quiet(person_principal(OWNER, "owner"), kind, one.id)

    def adopt(self) -> None:
        """Another version of the policy, for open incidents too."""
        text = default_policy_text().replace("update: 15m ", f"update: {self.random.choice((5, 10, 20))}m ")
        text = text.replace(
            'at: ["09:00", "13:00", "17:00"]', f'at: ["{self.random.choice(("08:00", "11:30"))}"]'
        )
        owner, engine = person_principal(OWNER, "owner"), self.stage.engine
        self.say("another policy is adopted")

        def work(tx: Transaction) -> None:
            unit = engine.work(tx, Actor(owner.id, "api"))
            _, preview = governing.look(unit, text)
            governing.apply(unit, owner, text, preview, adopt=True)

        self.stage.store.write(work)

    def tap(self) -> None:
        pages = [one for one in self.stage.sent if one.message.ack_url and not one.failed]
        if not pages:
            return
        page = self.random.choice(pages[-10:])
        self.say(f"{page.person} taps the link of {', '.join(page.incidents)}")
        try:
            self.stage.acknowledge_link(page.message)
        except TocsinError as error:
            self.say(f"  refused: {error.sentence[:160]}")

    def provider(self) -> None:
        channel = self.random.choice(("console", "sms", "email"))
        outage = Outage(
            channel,
            self.stage.now,
            self.stage.now + self.random.randint(SECOND, 20 * MINUTE),
            self.random.random() < 0.3,
        )
        self.say(
            f"{channel} is down for {(outage.end - outage.start) // SECOND} s"
            + " for good" * outage.permanent
        )
        self.stage.outages.append(outage)

    def leave(self) -> None:
        person, now = self.random.choice(self.people), self.stage.clock.now()
        self.say(f"{person} is on leave")
        end = now + self.random.choice((5 * MINUTE, HOUR, 8 * HOUR))
        self.stage.engine.put_records([record_of(Leave(person, now, end, "", f"l{len(self.trace)}"), now)])

    def override(self) -> None:
        person, now = self.random.choice(self.people), self.stage.clock.now()
        schedule = self.random.choice(("platform", "payments", "web", "commanders"))
        self.say(f"{person} takes {schedule}")
        end = now + self.random.choice((10 * MINUTE, 3 * HOUR))
        self.stage.engine.put_records(
            [record_of(Override(f"o{len(self.trace)}", schedule, now, end, person), now)]
        )

    def deactivate(self) -> None:
        person = self.stage.engine.directory().people[self.random.choice(self.people)]
        self.say(f"{person.id} is {'deactivated' if person.active else 'back'}")
        changed = msgspec.structs.replace(person, active=not person.active)
        self.stage.engine.put_records([record_of(changed, self.stage.clock.now())])

    def clock(self) -> None:
        by = self.random.choice((-1, 1)) * self.random.choice((1, 30, 90, 600)) * SECOND
        self.say(f"the clock is set by {by // SECOND} s")
        self.stage.step_clock(by)
        self.checker.disturb()

    def kill(self) -> None:
        raise Killed

    def arm(self) -> None:
        self.mortal.left, self.mortal.before = self.random.randint(1, 12), self.random.random() < 0.5
        self.say(
            f"the process will die {'before' if self.mortal.before else 'after'} its commit number {self.mortal.left}"
        )


def simulate(seed: int) -> tuple[list[str], str]:
    """(trace, what broke or nothing) of one history. The engine's own log stays silent."""
    with capture_logs(), scratch_folder() as folder:
        simulation = Simulation(seed, Path(folder))
        try:
            simulation.run()
        except Broken as error:
            return simulation.trace, str(error)
        except Exception:  # noqa: BLE001  # an error nobody foresaw breaks a history as an invariant does
            return simulation.trace, traceback.format_exc()
        finally:
            simulation.stage.close()
    return simulation.trace, ""


def timed(seed: int) -> tuple[str, float]:
    """(what broke or nothing, the seconds that it took)."""
    started = time.monotonic()
    broken = simulate(seed)[1]
    return broken, time.monotonic() - started


def replay_command(seed: int) -> str:
    """What to type to see the same history again."""
    return f"python tests/simulation/simulate.py --seed {seed} --trace"


def main() -> int:
    parser = argparse.ArgumentParser(description="Random histories through the engine.")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    if options.seed is not None:
        trace, broken = simulate(options.seed)
        if options.trace or broken:
            print("\n".join(trace))
        print(f"seed {options.seed}: {broken or 'every invariant holds'}")
        return 1 if broken else 0
    started, failed, slowest = time.monotonic(), 0, (0.0, 0)
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for seed, (broken, took) in zip(seeds, pool.map(timed, seeds, chunksize=5), strict=True):
            slowest = max(slowest, (took, seed))
            if broken:
                failed += 1
                print(
                    f"seed {seed}: {broken.strip().splitlines()[-1]}\n    {replay_command(seed)}", flush=True
                )
    print(
        f"{len(seeds)} histories in {time.monotonic() - started:.0f} s, {failed} broken; "
        f"the slowest took {slowest[0]:.1f} s (seed {slowest[1]})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

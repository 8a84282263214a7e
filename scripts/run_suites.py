"""Runs the checks and every suite of tests, each to its end, and says what each took beside its budget.

A suite that fails keeps no other from running; the exit code is 1 if any failed. A suite over its budget says so; one
that takes three times its budget hangs, and is ended. Standard library only, for any Python from 3.11.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLOSING = re.compile(
    r"^(?:=+ )?(\d+ (?:passed|failed|skipped|error|deselected|xfailed|warning).* in [\d.]+m?s.*?)(?: =+)?$"
)
HANGS_AFTER = 3
"""times its budget"""
GRACE = 20
"""seconds between asking a suite to end and killing it"""
NO_TESTS = 5
"""pytest's exit code when it selected none"""


@dataclass(frozen=True)
class Suite:
    """``budget``: seconds. ``marker``: a suite of marked tests, left out as long as no test carries the mark."""

    name: str
    budget: int
    command: tuple[str, ...]
    marker: str = ""


@dataclass(frozen=True)
class Outcome:
    suite: Suite
    seconds: int
    verdict: str
    failed: bool


def suites(jobs: int) -> list[Suite]:
    """All of them, in the order they run; the budgets add up to 17 minutes."""
    pytest = (sys.executable, "-m", "pytest", "-rfEs")
    workers = ("-n", str(jobs))
    return [
        Suite("checks", 60, ("make", "--no-print-directory", "check")),
        Suite(
            "unit, store and scenario", 420, (*pytest, *workers, "-m", "not browser and not real and not soak", "tests")
        ),
        Suite("browser", 180, (*pytest, "-m", "browser and not soak", "tests"), "browser"),
        Suite(
            "real peers", 180, (*pytest, "-m", "real and not soak", "tests", "--ignore", "tests/packaging"), "real"
        ),
        Suite("packaging", 180, (*pytest, "-m", "real and not soak", "tests/packaging"), "real"),
    ]  # fmt: skip


def carried(marker: str) -> bool:
    """Whether any test file names the mark; without one, pytest would only complain that there is nothing to run."""
    return any(f"mark.{marker}" in path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


def run(suite: Suite) -> Outcome:
    """Runs one suite in a process group of its own, its output passed through line by line."""
    print(f"\n=== {suite.name} (budget {clock(suite.budget)}) ===", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(
        suite.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    hung = threading.Event()

    def end_it() -> None:
        hung.set()
        end_group(process)

    watchdog = threading.Timer(suite.budget * HANGS_AFTER, end_it)
    watchdog.daemon = True
    watchdog.start()
    closing = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if found := CLOSING.match(line.strip()):
                closing = found[1]
        code = process.wait()
    except KeyboardInterrupt:
        end_group(process)
        raise
    finally:
        watchdog.cancel()
    return judge(suite, code, round(time.monotonic() - started), closing, hung.is_set())


def judge(suite: Suite, code: int, seconds: int, closing: str, hung: bool) -> Outcome:
    """The words and the verdict for one suite's exit."""
    if hung:
        verdict = f"FAILED: still running after {clock(suite.budget * HANGS_AFTER)}, ended"
    elif code == NO_TESTS and "pytest" in suite.command:
        verdict = "FAILED: selected no test at all"
    elif code != 0:
        verdict = f"FAILED: {closing or f'exit code {code}'}"
    else:
        verdict = closing or "clean"
    if seconds > suite.budget and not hung:
        verdict += "; over its budget"
    return Outcome(suite, seconds, verdict, hung or code != 0)


def end_group(process: subprocess.Popen[str]) -> None:
    """Asks the suite's process group to end, then makes it: a hung test may hold servers of its own."""
    for number in (
        signal.SIGTERM,
        signal.SIGKILL,
    ):  # the second in any case: its children may outlive the leader
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the suites named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="workers of the suites that run in parallel")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="run this suite alone (repeatable)"
    )
    options = parser.parse_args(arguments)
    known = suites(options.jobs)
    if unknown := set(options.only) - {suite.name for suite in known}:
        parser.error(
            f"no suite is called {', '.join(sorted(unknown))}; there are: {', '.join(suite.name for suite in known)}"
        )
    outcomes = []
    for suite in known:
        if options.only and suite.name not in options.only:
            continue
        if suite.marker and not carried(suite.marker):
            print(f"\n=== {suite.name}: no test carries the mark {suite.marker} ===", flush=True)
            continue
        outcomes.append(run(suite))
    print("\n=== what each took ===")
    for outcome in outcomes:
        took = f"{clock(outcome.seconds):>6} of {clock(outcome.suite.budget)}"
        print(f"{outcome.suite.name:<26}{took:<16}{outcome.verdict}")
    print(f"{'together':<26}{clock(sum(outcome.seconds for outcome in outcomes)):>6}", flush=True)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes docs/guide-coverage.md: each clause of the guide, and the tests that name it. ``--check`` says whether it is up to date.

A clause is kept when the software does it, or makes a named person do it by a due time and records whether they did. The
tests carry its id: ``@pytest.mark.guide("SEV-1")``. A clause that no test names is not kept yet, and the page says so.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guide-coverage.md"

CLAUSES: dict[str, dict[str, str]] = {
    "Severity": {
        "SEV-1": "P1: its meaning and its clocks", "SEV-2": "P2: its meaning and its clocks", "SEV-3": "P3: its meaning and its clocks",
        "SEV-4": "P4: its meaning and its clocks", "SEV-5": "who is told at once of each severity", "SEV-6": "a severity is proposed from facts, with the rule named",
        "SEV-7": "raising and lowering re-times what is owed", "SEV-8": "every running clock shows on the incident", "SEV-9": "attainment for each severity",
    },
    "Types": {
        "TYP-1": "availability", "TYP-2": "performance", "TYP-3": "security", "TYP-4": "data", "TYP-5": "integration",
        "TYP-6": "each type's primary metric, from the record",
    },
    "Detection and the first response": {
        "DET-1": "every way in, with how it was detected and by whom; later reports attach", "DET-2": "scope is validated before the response widens; false alarms leave a record",
        "PRO-1": "acknowledged in time", "PRO-2": "the record and its channel exist, owned by the commander", "PRO-3": "the commander assesses",
        "PRO-4": "the team is activated", "PRO-5": "the technical lead begins mitigation", "PRO-6": "the five steps as one live protocol",
    },
    "Command": {
        "ROL-1": "the commander's part", "ROL-2": "a weekly rotation, a standby, gaps found ahead", "ROL-3": "the technical lead's part",
        "ROL-4": "the communication lead's part", "ROL-5": "the customer liaison's part", "ROL-6": "authority is real, and nobody is ever stuck",
        "ROL-7": "roles are handed over with what is owed next",
    },
    "Toolkit": {
        "KIT-1": "health check", "KIT-2": "performance diagnostics", "KIT-3": "error analysis", "KIT-4": "emergency rollback",
        "KIT-5": "traffic diversion", "KIT-6": "each tool from the command line, the page and chat",
    },
    "Communication inside": {
        "COM-1": "channels", "COM-2": "the rhythm of updates", "COM-3": "the chain of escalation", "COM-4": "a war room at once",
        "COM-5": "stand-ups", "COM-6": "the post-mortem meeting is booked in time",
    },
    "Communication outside": {
        "EXT-1": "a public status page", "EXT-2": "mail to customers", "EXT-3": "banners and modals in the customers' application",
        "EXT-4": "investors, partners, media", "EXT-5": "drafted, approved, recorded as sent",
    },
    "Templates": {
        "TPL-1": "first notice", "TPL-2": "progress update", "TPL-3": "resolution notice", "TPL-4": "no blank is left empty",
    },
    "Investigation": {
        "RCA-1": "five whys and fishbone", "RCA-2": "the timeline is rebuilt from all sources", "RCA-3": "correlation, trends, patterns",
        "RCA-4": "categories of causes",
    },
    "Forensics": {"FOR-1": "one command collects", "FOR-2": "one archive with manifest and hashes", "FOR-3": "sealed, masked, verifiable"},
    "Recovery": {
        "REC-1": "stop the damage", "REC-2": "restore basic function", "REC-3": "recover data", "REC-4": "services in their order",
        "REC-5": "validation before the end",
    },
    "Continuity": {
        "BCP-1": "authentication", "BCP-2": "payments", "BCP-3": "access to data", "BCP-4": "who hears how it goes",
    },
    "Post-mortem": {"PMR-1": "its five deadlines", "PMR-2": "its sections", "PMR-3": "who must take part"},
    "Actions": {"ACT-1": "categories and their time", "ACT-2": "owner, day, criteria, status, verification", "ACT-3": "overdue ones are chased"},
    "Governance": {"GOV-1": "versioned, owned, reviewed each quarter", "GOV-2": "the readable guide is made from what is enforced"},
}  # fmt: skip

CONFIG_ONLY = {
    "EXT-1": "the components are in the policy; the public page is not built yet",
    "EXT-2": "the thresholds are in the policy; mail to customers is not sent yet",
    "EXT-3": "the figures are in the policy; nothing is shown in customers' applications yet",
    "RCA-2": "changes and alerts stand beside the onset; logs, metrics and third parties are not read yet",
    "RCA-4": "the categories are in the policy; no cause is sorted into them yet",
    "PMR-2": "the sections are in the policy; the document is not written yet",
    "TPL-1": "the template is in the policy and checked; it is not filled and sent yet",
    "TPL-2": "the template is in the policy and checked; it is not filled and sent yet",
    "TPL-3": "the template is in the policy and checked; it is not filled and sent yet",
    "TPL-4": "every blank has its fallback; nothing is filled and sent yet",
}
"""Clauses whose values the policy carries and tests check, while the software does not keep them yet."""


def proofs() -> dict[str, list[str]]:
    """Clause → the tests that name it, as ``file: test``."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for test, clauses in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            for clause in clauses:
                found.setdefault(clause, []).append(f"{path.relative_to(ROOT / 'tests')}: {test}")
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            clauses = [
                str(argument.value)
                for decorator in node.decorator_list
                for mark in ast.walk(decorator)
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.guide"
                for argument in mark.args
                if isinstance(argument, ast.Constant)
            ]
            if clauses:
                yield node.name, clauses


def page() -> str:
    """The whole page."""
    named = proofs()
    known = {clause for part in CLAUSES.values() for clause in part}
    kept = [clause for clause in known if clause in named and clause not in CONFIG_ONLY]
    lines = [
        "# The guide, clause by clause", "",
        "Made by `python scripts/guide_coverage.py` from the marks of the tests. A clause is *kept* when the software does it, or makes a",
        "named person do it by a due time and records whether they did; each test named here shows it and can fail.", "",
        f"**{len(kept)} of {len(known)} clauses are kept.** The others say what is missing.", "",
    ]  # fmt: skip
    for part, clauses in CLAUSES.items():
        lines += [f"## {part}", "", "| clause | | shown by |", "|---|---|---|"]
        for clause, words in clauses.items():
            tests = "<br>".join(f"`{one}`" for one in named.get(clause, [])[:6])
            more = len(named.get(clause, [])) - 6
            tests += f"<br>and {more} more" if more > 0 else ""
            state = CONFIG_ONLY.get(clause, "" if clause in named else "nothing shows it yet")
            lines.append(f"| {clause} | {words}{f': **not kept yet**, {state}' if state else ''} | {tests} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Writes the page, or says that it is out of date."""
    unknown = set(proofs()) - {clause for part in CLAUSES.values() for clause in part}
    if unknown:
        print(
            f"tests name clauses that the guide does not have: {', '.join(sorted(unknown))}", file=sys.stderr
        )
        return 1
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != made:
        print("docs/guide-coverage.md is out of date: run python scripts/guide_coverage.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

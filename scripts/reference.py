"""Writes docs/reference.md from the definitions: every setting and every command. ``--check`` says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tocsin.cli import cli
from tocsin.settings import OF_THE_CLIENT, SECRETS, Settings

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"


def settings() -> list[str]:
    """A row for each setting."""
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = f"`TOCSIN_{name.upper()}`" + (" or `…_FILE`" if name in SECRETS else "")
        default = f"`{field.default}`" if field.default not in ("", None) else ""
        lines.append(f"| `{name}` | {variable} | {default} | {field.description} |")
    return lines


def of_the_client() -> list[str]:
    """A row for each variable of the commands that ask a server."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in OF_THE_CLIENT.items()]
    return ["| variable | meaning |", "|---|---|", *rows]


def commands(group: click.Group, path: str) -> list[str]:
    """A section for each command, those of groups after their group."""
    lines: list[str] = []
    for name in sorted(group.commands):
        command = group.commands[name]
        title = f"{path} {name}"
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        usage = " ".join(
            f"{one.human_readable_name.upper()}{'…' if one.nargs == -1 else ''}" for one in arguments
        )
        text = (command.help or "").replace("\b", "").strip()
        said, _, example = text.partition("Example:")
        lines += [f"### {title} {usage}".rstrip(), " ".join(said.split()), ""]
        options = [one for one in command.params if isinstance(one, click.Option) and one.name != "help"]
        lines += [f"- `{', '.join(one.opts)}`: {one.help or ''}" for one in options]
        if example.strip():
            lines += ["", "    " + "\n    ".join(line.strip() for line in example.strip().splitlines())]
        lines.append("")
        if isinstance(command, click.Group):
            lines += commands(command, title)
    return lines


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Reference", "", "Made by `python scripts/reference.py` from the definitions in the code.", "", "## Settings", "",
            "A flag beats a variable, a variable beats `tocsin.toml` in the working directory. A secret can come from a file; both set stops the",
            "start with a sentence.", "", *settings(), "", "## Commands", "",
            "Those that ask a running server, such as `tocsin list` and `tocsin policy apply`, read two variables of their own:", "",
            *of_the_client(), "", *commands(cli, "tocsin"),
        ]
    ).rstrip() + "\n"  # fmt: skip


def main() -> int:
    """Writes the page, or says that it is out of date."""
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") != made:
        print("docs/reference.md is out of date: run python scripts/reference.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

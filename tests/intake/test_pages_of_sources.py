"""Every way in has its page in the documentation, with the very snippet that the integration's page shows."""

import re
from pathlib import Path

import pytest

from tocsin.intake.limits import MAX_ALERTS, MAX_BATCH_BODY, MAX_BODY, MAX_EVENT_BODY, READ_SECONDS
from tocsin.intake.mapping import compile_mapping
from tocsin.intake.sources import SOURCES

PAGES = Path(__file__).parents[2] / "docs" / "integrations"


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_page_shows_what_to_paste(source):
    text = (PAGES / f"{source.page}.md").read_text("utf-8")
    assert source.snippet("https://tocsin.example.com", "KEY").rstrip() in text
    assert f"({source.page}.md)" in (PAGES / "README.md").read_text("utf-8")
    assert "## When it fails" in text
    assert "## Test it" in text


def test_the_limits_are_those_of_the_code():
    text = (PAGES / "README.md").read_text("utf-8")
    assert (MAX_BODY, MAX_EVENT_BODY, MAX_BATCH_BODY) == (2**20, 2**19, 2**24)
    assert f"16 MiB and {MAX_ALERTS:,} alerts" in text
    assert f"longer than {READ_SECONDS} seconds" in text


def test_the_mapping_shown_is_one():
    block = re.search(r"```\n(summary .*?)```", (PAGES / "generic.md").read_text("utf-8"), re.DOTALL)[1]
    compile_mapping(dict(line.split(maxsplit=1) for line in block.strip().splitlines()))

"""The report form by link, signed in and over the API: whose form it may be, and how often it is taken."""

import re

import httpx2
from people_at_the_door import Visitor


def link_of(site) -> str:
    """The address of a new link to the report form."""
    owner = Visitor(site, "anna")
    owner.post("/integrations", verb="add_report_key", name="support desk")
    return site.url + re.search(r"/report/[\w-]+", owner.get("/integrations").text)[0]


def test_a_form_of_the_public_address_is_taken_whatever_host_a_proxy_asks_for(site, monkeypatch):
    monkeypatch.setattr(site.tocsin.engine, "public_url", "https://tocsin.example.com")
    link = link_of(site)
    for origin, status in (("https://tocsin.example.com", 200), ("https://evil.example", 403)):
        answer = httpx2.post(link, data={"title": "blank"}, headers={"Origin": origin}, timeout=10)
        assert answer.status_code == status, origin

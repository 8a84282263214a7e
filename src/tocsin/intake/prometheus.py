"""What Prometheus, Alertmanager and Grafana share: labels, annotations, fingerprints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tocsin.alerts.shape import MAX_NAME, Alert, Link, fit_labels, headline, normal_severity, one_line
from tocsin.intake.reading import SERVICE_LABELS, SOURCE_LABELS, add_link, first_label, url_of

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_REMEMBERED = 32_768

_fingerprints: dict[bytes, str] = {}


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint of a label set: 16 hexadecimal digits.

    FNV-1a, 64 bits, over name, 0xff, value, 0xff of each label in the order of names (``LabelSet.Fingerprint`` of
    https://github.com/prometheus/common). Prometheus sends the same alerts again each minute, so the last 32,768 are
    remembered.
    """
    data = b"".join(
        [
            b"%b\xff%b\xff" % (name.encode(), value.encode())
            for name, value in sorted(labels.items(), key=_utf8)
        ]
    )
    mark = hashlib.blake2b(data, digest_size=16).digest()
    known = _fingerprints.get(mark)
    if known is not None:
        return known
    value = _OFFSET
    for byte in data:
        value = ((value ^ byte) * _PRIME) & _MASK
    if len(_fingerprints) >= _REMEMBERED:
        _fingerprints.clear()
    found = _fingerprints[mark] = f"{value:016x}"
    return found


def _utf8(pair: tuple[str, str]) -> str:
    return pair[0]  # code points sort as their UTF-8 bytes do


def describe(alert: Alert, annotations: Mapping[str, str], generator_url: str, notes: list[str]) -> None:
    """Fills summary, severity, source, service and links of ``alert`` from its labels and annotations."""
    labels = alert.labels
    told = (annotations.get(name, "") for name in ("summary", "title", "message", "description"))
    summary = next(filter(None, map(one_line, told)), "") or one_line(labels.get("alertname", ""))
    if not summary:
        summary = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    alert.summary = headline(summary, "the summary", notes)
    alert.severity = normal_severity(
        labels.get("severity") or labels.get("priority") or labels.get("level") or ""
    )
    alert.source = first_label(labels, SOURCE_LABELS)[:MAX_NAME]
    alert.service = first_label(labels, SERVICE_LABELS)[:MAX_NAME]
    links: list[Link] = []
    if generator_url:
        add_link(links, generator_url, "Source")
    runbook = annotations.get("runbook_url") or annotations.get("runbook")
    dashboard = annotations.get("dashboard_url") or annotations.get("dashboard")
    if runbook:
        alert.runbook_url = url_of(runbook)
    if dashboard:
        alert.dashboard_url = url_of(dashboard)
    alert.links = links
    details: dict[str, Any] = {}
    if annotations:
        details["annotations"] = annotations
    if generator_url:
        details["generatorURL"] = generator_url
    alert.details = details


def usable_labels(labels: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    """The labels that have a value, within the limits; an empty label is the same as none."""
    return fit_labels({name: value for name, value in labels.items() if value != ""}, notes)

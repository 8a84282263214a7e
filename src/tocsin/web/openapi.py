"""The OpenAPI 3.1 document, written from the tables of endpoints and the structs that they take and answer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from tocsin.catalogue import people
from tocsin.engine import deciding, promising, recording, recovering, reporting
from tocsin.engine.changes import Change
from tocsin.engine.commands import COMMANDS, Command
from tocsin.identity.authorize import who_may
from tocsin.identity.tokens import IMPLIES, SCOPES
from tocsin.incidents.facts import AlertRef
from tocsin.incidents.incident import Attached, Incident
from tocsin.incidents.moves import MOVES
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import LATEST
from tocsin.policy.model import SEVERITIES
from tocsin.web import govern_views as g
from tocsin.web import views as v
from tocsin.web.endpoints import READS, WRITES, Apply, Preview, Read, Test, Write
from tocsin.web.forms import INSTANTS, fields_of

REF = "#/components/schemas/{name}"
HIDDEN = ("policy", "reminded", "runs", "failed")
"""what an incident keeps for itself"""
VERBS = {"severity": "raise_severity", "move": "update", "protocol": "step", "task_add": "add_task"}
"""commands that the table of who may knows by another name"""
NAMES = {bool: "boolean", int: "integer", str: "string"}
ERRORS = {
    400: "it cannot be read, and where", 401: "nobody known asks", 403: "who asks may not; who may", 404: "there is no such thing, or none that you may see",
    405: "not a method of this address; Allow names those that are", 409: "not in the present state; what is allowed", 413: "the body is larger than 1 MiB", 415: "the body is compressed; send it as it is", 422: "this Idempotency-Key was used for another request", 429: "too often", 503: "full for now; Retry-After says when again",
}  # fmt: skip
BOUNDS = {"weeks": (1, 52), "limit": (1, 500), "days": (1, 90), "after": (0, 2**53)}
"""query parameters that are numbers → least and most"""
MOMENTS = frozenset({"at", "from", "to"})
"""query parameters that are instants"""
CHOSEN: dict[str, tuple[str, ...]] = {"severity": SEVERITIES, "status": tuple(MOVES)}
"""query parameters that are one of a few values"""
NEVER_EMPTY = frozenset(
    {"title", "text", "name", "reason", "note", "services", "targets", "matchers", "scopes"}
)
"""texts and lists that are refused where they are required and empty"""
TEXT = {"text": {"minLength": 1}, "weeks": {"minimum": 1, "maximum": 52}}
"""bounds of a policy that is looked at or put in force"""
CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("add_person", "role"): people.ROLES, ("add_integration", "source"): tuple(SOURCES), ("add_token", "scopes"): tuple(SCOPES),
    ("report", "detected_how"): reporting.HOW, ("attach_report", "how"): recording.REPORTED, ("milestone", "name"): recording.MILESTONES,
    ("measure", "metric"): recording.METRICS, ("service_state", "state"): recording.STATES, ("validate", "kind"): promising.VALIDATIONS,
    ("validate", "outcome"): promising.OUTCOMES, ("plan_step", "outcome"): recovering.OUTCOMES, ("severity", "severity"): SEVERITIES,
    ("ask", "verb_wanted"): tuple(deciding.VERBS),
}  # fmt: skip
"""(verb, field) → the values there are, whatever the policy says"""
ABOUT = """\
Everything that a page can do. Send `Authorization: Bearer TOKEN`; make tokens on the account page. A token may do what its
scopes say, and never more than the person it belongs to. Restricted incidents do not exist for those who are not members.

Times are RFC 3339. Errors are problem documents (RFC 9457) with a sentence for people in `detail`. A POST with an
`Idempotency-Key` can be sent again: the same request answers as before, another is 422. Keys are kept for seven days; what
is shown once (tokens, keys, links) is not repeated."""


@lru_cache(maxsize=1)
def document(title: str, version: str) -> dict[str, Any]:
    """The whole document as plain data, made once for a process."""
    kinds: list[type] = [
        Incident,
        Attached,
        AlertRef,
        v.Problem,
        v.Done,
        v.TestResult,
        g.PreviewView,
        g.Applied,
    ]
    kinds += [one.answer for one in READS] + [one.answer for one in WRITES] + [one.change for one in WRITES]
    kinds += [*COMMANDS.values(), Test, Preview, Apply]
    kinds = list(dict.fromkeys(kinds))
    refs, components = msgspec.json.schema_components(kinds, ref_template=REF)
    names = {kind: ref["$ref"].rsplit("/", 1)[1] for kind, ref in zip(kinds, refs, strict=True)}
    for kind in [*COMMANDS.values(), *(one.change for one in WRITES)]:
        _times(components[names[kind]])
    _incident(components[names[Incident]])
    components[names[Attached]]["properties"]["ref"] = {"$ref": REF.format(name=names[AlertRef])}
    paths: dict[str, dict[str, Any]] = {}
    for one in READS:
        _add(paths, one.path, "GET", _read(one, names))
    for write in WRITES:
        _add(paths, write.path, write.method, _write(write, names, components))
    _incidents(paths, names, components)
    _govern(paths, names, components)
    _others(paths)
    _plain_tuples(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": scopes_text()},
                "session": {"type": "apiKey", "in": "cookie", "name": "tocsin_session", "description": "A signed-in browser; whatever changes something sends the page's token as X-CSRF-Token."},
            },
        },
    }  # fmt: skip


def scopes_text() -> str:
    """The scopes and what each brings with it."""
    lines = [
        f"`{scope}`" + (f" (with {', '.join(sorted(brings - {scope}))})" if brings - {scope} else "")
        for scope, brings in IMPLIES.items()
    ]
    return "An API token. Scopes: " + ", ".join(lines) + ". The scope an address needs stands with it."


def _add(paths: dict[str, dict[str, Any]], path: str, method: str, operation: dict[str, Any]) -> None:
    # one address has one entry: templates that differ in the names of their pieces alone are the same to a client
    shapes = {_shape(one): one for one in paths}
    path = shapes.get(_shape(path), path)
    words = re.sub(r"[^a-z0-9]+", "_", path.removeprefix("/api/v1").lower()).strip("_")
    operation["operationId"] = f"{method.lower()}_{words}"
    operation["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _pieces(path)
    ] + operation.get("parameters", [])
    paths.setdefault(path, {})[method.lower()] = operation


def _shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def _pieces(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _operation(
    tag: str, summary: str, verb: str, answer: dict[str, Any], status: int = 200
) -> dict[str, Any]:
    scopes = sorted({scope for _, scope in who_may(verb)})
    people = " or ".join(dict.fromkeys(who for who, _ in who_may(verb)))
    responses: dict[str, Any] = {
        str(status): {"description": "done", "content": {"application/json": {"schema": answer}}}
    }
    for code, meaning in ERRORS.items():
        schema = {"$ref": REF.format(name="Problem")}
        responses[str(code)] = {
            "description": meaning,
            "content": {"application/problem+json": {"schema": schema}},
        }
    return {
        "tags": [tag], "summary": summary, "description": f"For {people}. Scope: {' or '.join(scopes)}.",
        "security": [*({"bearer": [scope]} for scope in scopes), {"session": []}], "responses": responses,
    }  # fmt: skip


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF.format(name=name)}


def _read(one: Read, names: dict[type, str]) -> dict[str, Any]:
    operation = _operation(one.tag, one.summary, "view", _ref(names[one.answer]))
    operation["parameters"] = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": meaning,
            "schema": {"type": NAMES[kind]}
            | _bounds(name)
            | ({"enum": list(CHOSEN[name])} if name in CHOSEN else {})
            | ({"format": "date-time"} if name in MOMENTS else {}),
        }
        for name, (kind, meaning) in one.query.items()
    ]
    return operation


def _bounds(name: str) -> dict[str, int]:
    least, most = BOUNDS.get(name, (None, None))
    return {} if least is None or most is None else {"minimum": least, "maximum": most}


def _write(one: Write, names: dict[type, str], components: dict[str, Any]) -> dict[str, Any]:
    status = 201 if one.verb == "report" else 200
    operation = _operation(one.tag, one.summary, one.verb, _ref(names[one.answer]), status)
    _body(operation, components[names[one.change]], {*_pieces(one.path), *one.fixed}, one.change)
    return operation


def _body(
    operation: dict[str, Any], schema: dict[str, Any], fixed: set[str], kind: type[Command] | type[Change]
) -> None:
    """The body without what stands in the address, and the idempotency key."""
    properties = {name: value for name, value in schema["properties"].items() if name not in fixed}
    operation["parameters"] = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 200},
        }
    ]
    if set(fields_of(kind)) - fixed:
        required = [name for name in schema["required"] if name not in fixed]
        for name in NEVER_EMPTY & set(required):
            least = "minItems" if properties[name].get("type") == "array" else "minLength"
            properties[name] = properties[name] | {least: 1}
        for name in properties:
            if choices := CHOICES.get((kind.verb, name)):
                properties[name] = _one_of(properties[name], choices)
        body = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        operation["requestBody"] = {
            "required": bool(required),
            "content": {"application/json": {"schema": body}},
        }


def _one_of(schema: dict[str, Any], choices: tuple[str, ...]) -> dict[str, Any]:
    """A text that is one of these, or a list of such."""
    if schema.get("type") == "array":
        return schema | {"items": schema["items"] | {"enum": list(choices)}}
    return schema | {"enum": list(choices)}


def _incidents(paths: dict[str, dict[str, Any]], names: dict[type, str], components: dict[str, Any]) -> None:
    base = "/api/v1/incidents"
    declare = _operation("incidents", "Declare an incident", "declare", _ref(names[v.Done]), 201)
    _body(declare, components[names[COMMANDS["declare"]]], set(), COMMANDS["declare"])
    _add(paths, base, "POST", declare)
    _add(
        paths,
        f"{base}/{{reference}}",
        "GET",
        _operation("incidents", "One incident, by id or number", "view", _ref(names[Incident])),
    )
    export = _operation(
        "incidents", "The facts as stored, one a line; tocsin verify checks them", "view", {"type": "string"}
    )
    export["responses"]["200"]["content"] = {"application/x-ndjson": {"schema": {"type": "string"}}}
    _add(paths, f"{base}/{{reference}}/export", "GET", export)
    for verb, kind in COMMANDS.items():
        if "incident" in kind.__struct_fields__ and verb != "declare":
            operation = _operation("commands", _summary(kind), VERBS.get(verb, verb), _ref(names[v.Done]))
            _body(operation, components[names[kind]], {"incident"}, kind)
            _add(paths, f"{base}/{{reference}}/commands/{verb}", "POST", operation)
    test = _operation("integrations", "Rehearse an integration's own test and say whom it would page; with page an incident marked TEST opens, and ends by itself", "test_integration", _ref(names[v.TestResult]))  # fmt: skip
    _plain_body(test, components[names[Test]])
    _add(paths, "/api/v1/integrations/{integration}/test", "POST", test)


def _govern(paths: dict[str, dict[str, Any]], names: dict[type, str], components: dict[str, Any]) -> None:
    """Action items, the policy and drills."""
    for verb, kind in COMMANDS.items():
        if "action" in kind.__struct_fields__:
            operation = _operation("actions", _summary(kind), verb, _ref(names[v.Done]))
            _body(operation, components[names[kind]], {"action"}, kind)
            _add(paths, f"/api/v1/actions/{{action}}/commands/{verb}", "POST", operation)
    review = _operation(
        "policy",
        "The policy was reviewed; the next review counts from now",
        "policy_review",
        _ref(names[v.Done]),
    )
    _body(review, components[names[COMMANDS["policy_review"]]], set(), COMMANDS["policy_review"])
    _add(paths, "/api/v1/policy/commands/policy_review", "POST", review)
    look = _operation("policy", "What applying a text would mean: findings, what changes for people, what it does to open incidents", "view", _ref(names[g.PreviewView]))  # fmt: skip
    _plain_body(look, components[names[Preview]])
    _add(paths, "/api/v1/policy/preview", "POST", look)
    put = _operation("policy", "Put a version in force", "policy_apply", _ref(names[g.Applied]))
    _plain_body(put, components[names[Apply]])
    _add(paths, "/api/v1/policy", "PUT", put)
    play = _operation("drills", "Play a scenario under the policy in force, on a virtual clock; answers its report", "drill", {"type": "object"})  # fmt: skip
    _add(paths, "/api/v1/drills/{drill}", "POST", play)


def _plain_body(operation: dict[str, Any], schema: dict[str, Any]) -> None:
    """The body of what is neither a command nor a change: no idempotency key."""
    properties = {name: value | TEXT.get(name, {}) for name, value in schema["properties"].items()}
    body = {
        "type": "object",
        "properties": properties,
        "required": schema["required"],
        "additionalProperties": False,
    }
    operation["requestBody"] = {
        "required": bool(schema["required"]),
        "content": {"application/json": {"schema": body}},
    }


EVENTS = (
    'Every event is named `fact`: in a browser `new EventSource("/api/v1/events").addEventListener("fact", …)`; `onmessage` hears nothing. '
    "Its `id` is the position to resume after. Its `data` is a JSON object of three texts: `incident`, the number (empty where an incident "
    "was just hidden from you); `type`, what happened, such as `declared`, `acknowledged` or `update_posted` (`hidden` in that case); and "
    "`at`, when it was recorded, RFC 3339 in UTC. What happened in detail is in the incident's timeline. Lines that begin with a colon "
    "only show that the stream lives, every 15 seconds at the latest."
)
"""what a program has to know to listen"""


def _others(paths: dict[str, dict[str, Any]]) -> None:
    """What answers with something else than JSON."""
    events = _operation(
        "live", "Live changes as server-sent events, resumable by Last-Event-ID", "view", {"type": "string"}
    )
    events["description"] += f" {EVENTS}"
    events["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    _add(paths, "/api/v1/events", "GET", events)
    away = {
        "503": {
            "description": ERRORS[503],
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }
    }
    for path, summary in (
        ("/healthz", "Alive"), ("/readyz", "Can accept and commit; lateness does not make it red"), ("/metrics", "Prometheus metrics"),
    ):  # fmt: skip
        plain = {"description": "ok", "content": {"text/plain": {"schema": {"type": "string"}}}}
        _add(
            paths,
            path,
            "GET",
            {
                "tags": ["operations"],
                "summary": summary,
                "security": [],
                "responses": {"200": plain} | ({} if path == "/healthz" else away),
            },
        )


def _plain_tuples(schema: Any) -> None:
    """``items: false`` says again what ``maxItems`` says, and generators of clients refuse a schema that is no object."""
    if isinstance(schema, dict):
        if "prefixItems" in schema and "maxItems" in schema and schema.get("items") is False:
            del schema["items"]
        for part in schema.values():
            _plain_tuples(part)
    elif isinstance(schema, list):
        for part in schema:
            _plain_tuples(part)


def _summary(kind: type[Command]) -> str:
    """What a command does: the first paragraph of its description."""
    first = (kind.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(first.split()).replace("``", "").rstrip(".")


def _times(schema: dict[str, Any]) -> None:
    for name in INSTANTS & set(schema["properties"]):
        if schema["properties"][name].get("type") == "integer":
            said = schema["properties"][name].get("description", "RFC 3339, or UTC microseconds")
            schema["properties"][name] = {
                "type": ["string", "integer"], "format": "date-time", "minimum": 0, "maximum": LATEST - 1, "description": said,
            }  # fmt: skip


def _incident(schema: dict[str, Any]) -> None:
    """As :func:`tocsin.web.base.incident_json` shows it; times within roles, tasks and milestones are microseconds."""
    for name in HIDDEN:
        schema["properties"].pop(name, None)
    for name in schema["properties"]:
        if name.endswith(("_at", "_from")) and schema["properties"][name].get("type") == "integer":
            schema["properties"][name] = {"type": ["string", "null"], "format": "date-time"}
    schema["properties"]["name"] = {"type": "string", "description": "INC-123"}

"""Vendors at the wire: real HTTP servers on the loopback that check what the vendor checks."""

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.headers, self.body = method, {k.lower(): v for k, v in headers.items()}, body
        parts = urlsplit(path)
        self.path, self.query = parts.path, dict(parse_qsl(parts.query))

    @property
    def form(self):
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.body)


class Vendor:
    """A server that answers with ``self.check(request) -> (status, body, headers)``; ``script`` holds answers to give first."""

    def __init__(self):
        self.requests, self.script = [], []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if len(body) < int(self.headers.get("Content-Length") or 0):
                    return  # whoever sent it was killed on the way
                request = Request("POST", self.path, self.headers, body)
                vendor.requests.append(request)
                status, answer, headers = vendor.script.pop(0) if vendor.script else vendor.check(request)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def check(self, request):
        raise NotImplementedError


class Ntfy(Vendor):
    token = "tk_secretsecretsecretsecretsecret"

    def check(self, request):
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"code": 40101, "http": 401, "error": "unauthorized"}, {}
        body = request.json
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", body.get("topic", "")):
            return 400, {"code": 40009, "http": 400, "error": "invalid request: topic invalid"}, {}
        if body.get("priority", 3) not in (1, 2, 3, 4, 5):
            return 400, {"code": 40007, "http": 400, "error": "invalid request: priority invalid"}, {}
        actions = body.get("actions", [])
        if len(actions) > 3 or any(
            a["action"] not in ("view", "http", "broadcast") or not a.get("label") for a in actions
        ):
            return 400, {"code": 40018, "http": 400, "error": "invalid request: actions invalid"}, {}
        if len(body.get("message", "").encode()) > 4096:
            return 413, {"code": 41301, "http": 413, "error": "message too large"}, {}
        return 200, {"id": "abcdefghijkl", "time": 1, "event": "message", "topic": body["topic"]}, {}


class Slack(Vendor):
    token = "xoxb-not-a-real-token"

    def check(self, request):
        if request.path != "/chat.postMessage":
            return 404, {"ok": False, "error": "unknown_method"}, {}
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return 200, {"ok": False, "error": "invalid_auth"}, {}
        body = request.json
        if body.get("channel") == "CGONE00":
            return 200, {"ok": False, "error": "channel_not_found"}, {}
        if not body.get("text") and not body.get("blocks"):
            return 200, {"ok": False, "error": "no_text"}, {}
        for block in body.get("blocks", []):
            if block["type"] not in ("section", "actions"):
                return 200, {"ok": False, "error": "invalid_blocks"}, {}
            if block["type"] == "section" and not 1 <= len(block["text"]["text"]) <= 3000:
                return 200, {"ok": False, "error": "invalid_blocks"}, {}
            for element in block.get("elements", []):
                if len(element["text"]["text"]) > 75 or len(element.get("url", "")) > 3000:
                    return 200, {"ok": False, "error": "invalid_blocks"}, {}
        return 200, {"ok": True, "channel": body["channel"], "ts": "1503435956.000247"}, {}


class Twilio(Vendor):
    account, token, number = "AC" + "1" * 32, "t" * 32, "+15005550006"

    def check(self, request):
        wanted = "Basic " + base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != wanted:
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}, {}
        form, resource = request.form, request.path.rpartition("/")[2]
        if request.path != f"/2010-04-01/Accounts/{self.account}/{resource}" or resource not in (
            "Messages.json",
            "Calls.json",
        ):
            return 404, {"code": 20404, "message": "not found", "status": 404}, {}
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form.get("To", "")) or form["To"] == "+15005550001":
            return (
                400,
                {
                    "code": 21211,
                    "message": f"The 'To' number {form.get('To')} is not a valid phone number.",
                    "status": 400,
                },
                {},
            )
        if form.get("From") != self.number and not form.get("MessagingServiceSid", "").startswith("MG"):
            return 400, {"code": 21606, "message": "The From phone number is not valid", "status": 400}, {}
        if resource == "Messages.json" and not 1 <= len(form.get("Body", "")) <= 1600:
            return 400, {"code": 21602, "message": "Message body is required.", "status": 400}, {}
        if resource == "Calls.json":
            if not 0 < len(form.get("Twiml", "")) <= 4000 or not form["Twiml"].startswith("<Response>"):
                return 400, {"code": 21218, "message": "Invalid Twiml", "status": 400}, {}
            import xml.dom.minidom

            xml.dom.minidom.parseString(form["Twiml"])
        callback = form.get("StatusCallback", "https://x.example")
        if not callback.startswith("https://"):
            return 400, {"code": 21609, "message": "Invalid StatusCallback", "status": 400}, {}
        return (
            201,
            {"sid": ("SM" if resource == "Messages.json" else "CA") + "2" * 32, "status": "queued"},
            {},
        )


class PagerDuty(Vendor):
    def check(self, request):
        body, errors = request.json, []
        if request.path != "/v2/enqueue":
            return 404, {"message": "not found"}, {}
        if not re.fullmatch(r"[A-Za-z0-9]{32}", body.get("routing_key", "")):
            errors.append("'routing_key' is invalid")
        if body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            errors.append("'event_action' is invalid")
        payload = body.get("payload", {})
        if body.get("event_action") == "trigger":
            errors += [
                f"'payload.{name}' is missing"
                for name in ("summary", "source", "severity")
                if not payload.get(name)
            ]
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'payload.severity' is invalid")
        if len(body.get("dedup_key", "")) > 255:
            errors.append("'dedup_key' is too long")
        if errors:
            return (
                400,
                {"status": "invalid event", "message": "Event object is invalid", "errors": errors},
                {},
            )
        return 202, {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}, {}


class Hook(Vendor):
    """Verifies as the libraries of Standard Webhooks do, and drops repeats by the id."""

    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()

    def __init__(self):
        super().__init__()
        self.taken = {}

    def check(self, request):
        import hashlib
        import hmac

        message_id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = f"{message_id}.{at}.".encode() + request.body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        versions = [one.split(",", 1) for one in request.headers["webhook-signature"].split(" ")]
        if ["v1", wanted] not in versions:
            return 401, {"error": "No matching signature found"}, {}
        self.taken.setdefault(message_id, request.json)
        return 200, {}, {}

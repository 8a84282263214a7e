"""The one guard under every outbound connection: where it may go, how long it may take, how much it may answer.

Addresses inside the network are refused unless the operator names them: a web hook's URL is typed by people, and without
the guard it would reach the metadata service of a cloud. The address is checked where the connection is made, so that a
name that resolves anew for each question cannot slip through. Redirects are not followed.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import httpcore2
import httpx2
import msgspec

from tocsin import __version__
from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.kernel.redact import mask

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ANSWER = 256 * 1024
"""bytes of an answer that are read"""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that carry an IPv4 address (RFC 6052)"""


class EgressConfig(msgspec.Struct, frozen=True):
    """``allow``: hosts, addresses and networks inside that may be reached all the same (``ntfy.lan``, ``10.1.0.0/16``).

    ``proxy``: its URL; it then decides about names, while addresses written as such are checked here. ``ca_bundle``: a file
    of certificates to trust instead of the system's. ``timeout``: seconds for each of connecting, writing and reading.
    """

    allow: tuple[str, ...] = ()
    proxy: str = ""
    ca_bundle: str = ""
    timeout: float = 10.0


class Refusal(OSError):
    """The guard does not let this connection out."""


class Guard:
    """Decides about hosts and addresses; raises :class:`Unusable` for an allow-list that cannot be read."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.hosts: set[str] = set()
        self.networks: list[Network] = []
        for entry in (one.strip().lower() for one in allow):
            if not entry:
                continue
            try:
                self.networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                if "/" in entry or ":" in entry:
                    raise Unusable(
                        f"{entry!r} in the allow-list is neither a host nor a network; write ntfy.lan or 10.1.0.0/16",
                        "egress_allow",
                    ) from None
                self.hosts.add(entry)

    def check(self, host: str, address: str) -> None:
        """Raises :class:`Refusal` unless a connection to ``address``, asked for as ``host``, may be made."""
        if host.lower().rstrip(".") in self.hosts:
            return
        ip = plain(ipaddress.ip_address(address.partition("%")[0]))
        if any(ip.version == network.version and ip in network for network in self.networks):
            return
        if not is_public(ip):
            raise Refusal(
                f"{host} is the address {ip} inside the network; name it in TOCSIN_EGRESS_ALLOW if that is meant"
            )

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, each of which may be reached; raises :class:`Refusal`, or OSError where it has none."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise OSError(f"{host} cannot be resolved: {error}") from None
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        for address in addresses:
            self.check(host, address)
        return addresses

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection for what speaks no HTTP, to the very address that was checked; raises as :meth:`resolve` does."""
        failure = OSError(f"{host} has no address")
        for address in self.resolve(host, port):
            try:
                return socket.create_connection((address, port), timeout)
            except OSError as error:
                failure = error
        raise failure


def plain(ip: Address) -> Address:
    """The IPv4 address that an IPv6 address carries (mapped, NAT64, 6to4, Teredo), else the address itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if carried is None and ip in NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return carried or ip
    return ip


def is_public(ip: Address) -> bool:
    """Whether the address belongs to the open internet."""
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class GuardedBackend(httpcore2.SyncBackend):
    """Connects to the very address that was checked."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolves, checks every address, and connects to the first that answers."""
        try:
            addresses = self._guard.resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, *_: object, **__: object) -> httpcore2.NetworkStream:
        raise httpcore2.ConnectError("sockets of this machine are not reached from here")


class GuardedTransport(httpx2.HTTPTransport):
    """The transport of every provider's client."""

    def __init__(self, config: EgressConfig) -> None:
        context = ssl.create_default_context(cafile=config.ca_bundle or None)
        super().__init__(verify=context, trust_env=False, proxy=config.proxy or None)
        self.guard = Guard(config.allow)
        self._proxied = bool(config.proxy)
        if not self._proxied:
            self._pool = httpcore2.ConnectionPool(
                ssl_context=context, max_connections=50, max_keepalive_connections=10, keepalive_expiry=30,
                network_backend=GuardedBackend(self.guard),
            )  # fmt: skip

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._admit(request.url)
        return super().handle_request(request)

    def look(self, url: httpx2.URL) -> None:
        """Raises what a request there would raise before anything is sent; a name is resolved, as a connection would."""
        self._admit(url)
        if not self._proxied:
            try:
                self.guard.resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
            except OSError as error:
                raise httpx2.ConnectError(str(error)) from error

    def _admit(self, url: httpx2.URL) -> None:
        if url.scheme not in ("http", "https"):
            what = f"{url.scheme}:// is not spoken here" if url.scheme else "it does not begin with https://"
            raise httpx2.UnsupportedProtocol(f"{what}; write it like https://host.example")
        if not url.host:
            raise httpx2.UnsupportedProtocol("it names no host")
        if self._proxied:
            self._check_literal(url.host)

    def _check_literal(self, host: str) -> None:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        try:
            self.guard.check(host, host)
        except Refusal as refusal:
            raise httpx2.ConnectError(str(refusal)) from refusal


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the headers in lower case, and at most :data:`MAX_ANSWER` bytes of the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class Egress:
    """Sends requests for providers. One for the process; safe in threads."""

    def __init__(self, config: EgressConfig | None = None) -> None:
        self.config = config or EgressConfig()
        # the transport itself: a client's cookies, redirects and rules for credentials are nothing that a provider needs, and
        # take a third of the time of a request
        self._transport = GuardedTransport(self.config)
        self._always = httpx2.Headers(
            {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": f"Tocsin/{__version__}"}
        )
        self._limits = {"timeout": httpx2.Timeout(self.config.timeout).as_dict()}

    def close(self) -> None:
        """Closes idle connections."""
        self._transport.close()

    def send(
        self, who: str, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes = b"",
        form: Sequence[tuple[str, str]] | None = None, auth: tuple[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One request for ``who`` (a provider's name, for messages).

        Raises :class:`DeliveryFailed`, permanent where the URL cannot be used or the guard refuses it. The status of the
        answer is the caller's to judge (see :func:`judge`).
        """
        more = self._always.copy()
        more.update(dict(headers or {}))
        if form is not None:
            content = httpx2.QueryParams(list(form)).__str__().encode()
            more["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            request = httpx2.Request(method, url, headers=more, content=content, extensions=self._limits)
            # an address may name whom it belongs to: https://user:secret@…
            known = auth or (request.url.username, request.url.password)
            if any(known) and "Authorization" not in more:
                said = b64encode(":".join(known).encode()).decode()
                request.headers["Authorization"] = f"Basic {said}"
            with closing(self._transport.handle_request(request)) as response:
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) >= MAX_ANSWER:
                        break
                return Answer(
                    response.status_code,
                    {k.lower(): v for k, v in response.headers.items()},
                    body[:MAX_ANSWER],
                )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failure(who, error) from None

    def look(self, who: str, url: str) -> None:
        """Whether a request of ``who`` to ``url`` would be let out; nothing is sent.

        Raises :class:`DeliveryFailed` as :meth:`send` does; it is not permanent where a name could not be resolved just now.
        """
        try:
            self._transport.look(httpx2.URL(url))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failure(who, error) from None

    def _failure(self, who: str, error: Exception) -> DeliveryFailed:
        said = mask(str(error))[:300]
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            return DeliveryFailed(f"{who}: its address cannot be used: {said}", permanent=True)
        if isinstance(error, httpx2.ConnectError):
            refused = "TOCSIN_EGRESS_ALLOW" in str(error)
            return DeliveryFailed(f"{who}: no connection: {said}", permanent=refused)
        if isinstance(error, httpx2.TimeoutException):
            return DeliveryFailed(f"{who}: no answer within {self.config.timeout:g} s")
        return DeliveryFailed(f"{who}: {type(error).__name__}: {said}")


def judge(who: str, answer: Answer, said: str = "") -> None:
    """Raises :class:`DeliveryFailed` unless the status is a success.

    408, 425, 429 and every 5xx are worth trying again, after the time the provider asks for (``Retry-After`` in seconds,
    RFC 9110); all else will not mend by itself.
    """
    if 200 <= answer.status < 300:
        return
    text = mask(said or answer.body[:200].decode("utf-8", "replace"))
    passing = answer.status in (408, 425, 429) or answer.status >= 500
    wait = answer.headers.get("retry-after", "")
    raise DeliveryFailed(
        f"{who} answered {answer.status}: {text}"[:500], permanent=not passing,
        retry_after=min(int(wait), 3600) if wait.isascii() and wait.isdigit() and len(wait) < 8 else None,
    )  # fmt: skip

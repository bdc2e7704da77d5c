"""Where a server listens."""

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass, replace

from nonesuch.errors import InvalidRequest, SetupError

_ANY = "0.0.0.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """The address and the three ports of a server; port 0 is any free one."""

    host: str = "127.0.0.1"  # IPv4, or a name that stands for one
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002

    def __post_init__(self) -> None:
        if not self.host:
            raise InvalidRequest("host is empty, expected an IPv4 address or a name")
        for flag, port in self.ports():
            if not 0 <= port <= 65535:
                raise InvalidRequest(f"{flag} is {port}, expected 0 to 65535")
        given = [port for _, port in self.ports() if port]
        if len(set(given)) < len(given):
            raise InvalidRequest(f"the ports {given} must differ")

    @property
    def open(self) -> bool:
        """Whether a port is still to be chosen."""
        return any(port == 0 for _, port in self.ports())

    @property
    def grpc(self) -> str:
        """The address that a client on this machine calls with gRPC, `host:port`."""
        return f"{self._reachable}:{self.grpc_port}"

    @property
    def http(self) -> str:
        """The address that a client on this machine calls with HTTP, `host:port`."""
        return f"{self._reachable}:{self.http_port}"

    @property
    def metrics(self) -> str:
        """The address of the metrics page on this machine, `host:port`."""
        return f"{self._reachable}:{self.metrics_port}"

    @property
    def _reachable(self) -> str:
        return "127.0.0.1" if self.host == _ANY else self.host

    def settled(self) -> "Listen":
        """Return this with the address of a host's name and a free port for each 0.

        Another process may still take one before the server does. Raises SetupError that names
        the first port that is taken, or the host if it is not this machine's.
        """
        address = _address(self.host)  # Triton takes no names
        with ExitStack() as held:  # all at once, so that no two get the same
            sockets = [held.enter_context(bind(address, *each)) for each in self.ports()]
            grpc, http, metrics = [int(each.getsockname()[1]) for each in sockets]
        return replace(self, host=address, grpc_port=grpc, http_port=http, metrics_port=metrics)

    def ports(self) -> tuple[tuple[str, int], ...]:
        """Each port behind the flag that sets it."""
        return (
            ("--grpc-port", self.grpc_port),
            ("--http-port", self.http_port),
            ("--metrics-port", self.metrics_port),
        )


def _address(host: str) -> str:
    try:
        return socket.gethostbyname(host)  # knows IPv4 only, as our sockets do
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no name of a host"
        raise SetupError(
            f"cannot listen on {host!r}: {why}; give an IPv4 address of this machine with --host"
        ) from exc


def bind(host: str, flag: str, port: int) -> socket.socket:
    """Listen on a port, to hold it; SetupError where that cannot be."""
    address = _address(host)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Lets a port go through whose last server has just ended, not one with a server on it.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
        bound.listen()
    except OSError as exc:
        bound.close()
        raise SetupError(_refusal(host, flag, port, exc)) from exc
    return bound


def _refusal(host: str, flag: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} is taken; end what listens there, or choose another with {flag}"
    if exc.errno == errno.EACCES:
        return f"port {port} needs more rights than this process has; choose another with {flag}"
    return f"cannot listen on {host}: {exc.strerror or exc}; choose another with --host"

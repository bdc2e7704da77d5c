"""`nonesuch web` as a process of its own, and requests to it without a browser."""

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.client.shell import COMMAND, start


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Web:
    """A running `nonesuch web`."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, body: object) -> Answer:
        return self.ask("POST", path, json.dumps(body), content_type="application/json")

    def ask(self, method: str, path: str, body: str | None, **headers: str) -> Answer:
        to = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            to.request(method, path, body, named)
            return _read(to.getresponse())
        finally:
            to.close()

    def send(self, path: str, method: str = "GET", rest: str = "") -> socket.socket:
        """Ask, and do not wait; closing the socket is to leave."""
        line = socket.create_connection((self.host, self.port), timeout=30)
        line.sendall(f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{rest}\r\n".encode())
        return line

    def received(self, line: socket.socket, within_s: float) -> Answer | None:
        """What came on a line that asked; None if nothing did in the time given."""
        line.settimeout(within_s)
        came = http.client.HTTPResponse(line)
        try:
            came.begin()
        except TimeoutError:
            return None
        return _read(came)

    def figure(self, name: str, label: str = "") -> float:
        """The sum of a metric `nonesuch_web_NAME` over all its labels, or those with this one."""
        text = self.get("/metrics").body.decode()
        found = re.findall(rf"^nonesuch_web_{name}(?:{{.*{label}.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def answers(self, status: int, route: str = "image") -> float:
        """How many requests had an answer of this status; 499 is that of clients that left."""
        return self.figure("requests_total", f'route="{route}",status="{status}"')


def _read(came: http.client.HTTPResponse) -> Answer:
    told = {name.lower(): value for name, value in came.getheaders()}
    return Answer(came.status, told, came.read())


@contextmanager
def web(url: str, *words: str) -> Iterator[Web]:
    """Serve the page over the server at `url` until the end of the block."""
    program = start(COMMAND, "web", "--url", url, "--port", "0", *words)
    try:
        assert program.stdout
        at = urlsplit(program.stdout.readline().strip())
        yield Web("127.0.0.1", at.port or 0, program.pid)
    finally:
        program.terminate()
        program.communicate(timeout=20)

"""Runs a real Triton on this machine, over the model repository that the exporter writes."""

from nonesuch_server.doctor import Check, examine
from nonesuch_server.embedded import Embedded, Served
from nonesuch_server.interpreter import Interpreter, find_interpreter
from nonesuch_server.listen import Listen
from nonesuch_server.runtime import Runtime

__all__ = [
    "Check",
    "Embedded",
    "Interpreter",
    "Listen",
    "Runtime",
    "Served",
    "examine",
    "find_interpreter",
]

"""Measures latency and throughput of generators, served and bare: honestly, or not at all.

What is named here is imported on first use: the command's `--help` needs no extra.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from nonesuch_loadtest.result import Result
    from nonesuch_loadtest.run import Plan
    from nonesuch_loadtest.scenario import Scenario
    from nonesuch_loadtest.served import Served

__all__ = ["Plan", "Result", "Scenario", "Served"]

_HOMES = {"Plan": "run", "Result": "result", "Scenario": "scenario", "Served": "served"}


if not typing.TYPE_CHECKING:  # a checker is to know the names above, and no others

    def __getattr__(name: str) -> typing.Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value = globals()[name] = getattr(module, name)
        return value

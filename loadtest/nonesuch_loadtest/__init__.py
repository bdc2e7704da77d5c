"""Measures latency and throughput of generators, served and bare."""

from nonesuch_loadtest.closed import Sample, Window, drive
from nonesuch_loadtest.compare import Comparison, compare
from nonesuch_loadtest.target import Bare, Served, Target

__all__ = ["Bare", "Comparison", "Sample", "Served", "Target", "Window", "compare", "drive"]

"""Processes of our own that Ctrl-C does not reach: it is for the parent, who tells them."""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def start(work: Callable[..., None], *args: Any) -> tuple[Any, Connection]:
    """A process that runs `work(pipe, *args)` and ends with ours, and our end of the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=work, args=(its, *args), daemon=True)
    _start(process)
    its.close()  # so that its end is ours to notice
    return process, ours


def _start(process: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        process.start()  # only the main thread may say what a signal does
        return
    # What is ignored here is ignored there from its first instruction on.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)

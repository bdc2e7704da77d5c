"""A table on the terminal that follows a run."""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.words import NONE, ms, number, setting

_STEPS = " ▁▂▃▄▅▆▇█"
_SECONDS = 24  # of the small curve
_HEAD = ("at", "", "answered", "failed", "requests/s", "images/s", "", "mean ms", "longest ms")


class LiveTable:
    """A row for each setting that is or was measured; draws on a terminal only.

    What stands in the row is of the last second; answers and failures are all of the setting's.
    """

    def __init__(self, console: Console | None = None) -> None:
        """The console is standard error unless another is given."""
        self._console = console or Console(stderr=True)
        self._rows: dict[str, tuple[Progress, deque[float]]] = {}
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw the news of a run."""
        name = "ceiling" if progress.phase == "ceiling" else setting(progress.setting)
        _, past = self._rows.get(name, (progress, deque(maxlen=_SECONDS)))
        past.append(progress.images_hz)
        self._rows[name] = (progress, past)
        if self._console.is_terminal:
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """What is drawn."""
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for i, name in enumerate(_HEAD):
            table.add_column(name, justify="left" if i in {0, 1, 6} else "right", no_wrap=True)
        for name, (progress, past) in self._rows.items():
            table.add_row(
                f"{name} {progress.phase}".strip() if name != "ceiling" else "driver's ceiling",
                _bar(progress),
                f"{progress.all_answered:,}",
                Text(f"{progress.all_failed:,}", "bold red" if progress.all_failed else ""),
                number(progress.requests_hz),
                number(progress.images_hz),
                Text(_curve(past), "blue"),
                NONE if progress.mean_s is None else ms(progress.mean_s),
                NONE if progress.max_s is None else ms(progress.max_s),
            )
        return table


def _bar(progress: Progress) -> ProgressBar | Text:
    if not progress.of_s:
        return Text(f"{progress.at_s:.0f} s")
    return ProgressBar(total=progress.of_s, completed=min(progress.at_s, progress.of_s), width=16)


def _curve(values: deque[float]) -> str:
    top = max(values) or 1.0
    return "".join(_STEPS[round(value / top * (len(_STEPS) - 1))] for value in values)

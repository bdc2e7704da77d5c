"""A process that reads damaged checkpoints, each in a child of its own, and says how it ended.

    python -m tests.export.trial SOUND... < paths

It first reads the sound files, so that all that is imported late is there. Then, for each path on
standard input, a fork inspects the file with a limit on processor time and address space, and
under a hook that ends it when something is run, imported or written. One JSON object per path:
`end` is "read", "refused" or what went wrong, `said` the refusal.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from nonesuch.errors import CheckpointError
from nonesuch_export.checkpoint import read
from nonesuch_export.summary import summarize

SECONDS = 2.0  # of processor time
SPARE_BYTES = 2**30
_FORBIDDEN = (
    "compile", "ctypes", "exec", "import", "marshal", "os.exec", "os.fork", "os.posix_spawn",
    "os.remove", "os.rename", "os.system", "pickle.find_class", "shutil", "socket",
    "subprocess.Popen",
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _forbid(event: str, args: tuple[Any, ...]) -> None:
    """End the process at once if it does what no reader does."""
    writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
    if writes or event.startswith(_FORBIDDEN):
        os.write(1, f"did {event} {str(args)[:200]}".encode())
        os._exit(1)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process


def _attempt(path: Path) -> str:
    """How inspecting ended; one refusal is one line."""
    try:
        summarize(read(path)).to_dict()
    except CheckpointError as exc:
        said = str(exc)
        return f"refused {said}" if len(said) < 700 and said.isprintable() else f"babbled {said!r}"
    except BaseException as exc:  # noqa: BLE001 (the outermost edge: everything is reported)
        frames = list(traceback.walk_tb(exc.__traceback__))[-4:]
        places = [f"{Path(f.f_code.co_filename).name}:{line}" for f, line in frames]
        return f"raised {type(exc).__name__}: {str(exc)[:200]} at {' '.join(places)}"
    return "read"


def trial(path: Path) -> dict[str, Any]:
    """What `path` did to a child: `end`, `said`, and the most memory it held, in bytes."""
    out, into = os.pipe()
    if not (child := os.fork()):
        os.dup2(into, 1)
        _limit()
        sys.addaudithook(_forbid)
        os.write(1, _attempt(path).encode(errors="replace"))
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        said = f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    end, _, rest = said.partition(" ")
    return {"end": end, "said": rest, "peak_bytes": usage.ru_maxrss * 1024}


def main() -> None:
    for sound in map(Path, sys.argv[1:]):
        with contextlib.suppress(CheckpointError):
            summarize(read(sound)).to_dict()
    sys.stdout.write(json.dumps("ready") + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(trial(Path(line.rstrip("\n")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""What Triton's log and load failures say, in sentences."""

import re

_ERROR = re.compile(r'^[EF]\d{4} [\d:.]+ \d+ \S+\] +"?(.*?)"?$', re.MULTILINE)
# Said on every machine without a GPU.
_HARMLESS = re.compile(
    r"^[EFW]\d{4} [\d:.]+ \d+ (pinned_memory_manager"
    r'|\S+\] +"?(CudaDriverHelper|Failed to initialize NVML|unable to create stream))'
)
_POLL = re.compile(r"Poll failed for model directory '([^']+)': (.*)")
_LOAD = re.compile(r"load failed for model '([^']+)': (.*?)(?=\\nload failed for model|\\n$|$)")
_BEGUN = re.compile(r'"loading: ([^"]+):\d+"')
_DONE = re.compile(r"\"(?:successfully|failed to) load(?:ed)? '([^']+)'")
_NOISE = re.compile(
    r"^((version \d+ is at UNAVAILABLE state|Internal|Invalid argument|Not found|Unavailable"
    r"|TritonModelException|\w*Error): )+"
)


def errors(log: str) -> list[str]:
    """Messages of the log's error lines, oldest first, without those of a missing GPU."""
    return _ERROR.findall("\n".join(_telling(log)))


def reasons(log: str) -> dict[str, str]:
    """Return why models did not load, by model, as far as the log says so."""
    found: dict[str, str] = {}
    for text in errors(log):
        for pattern in (_POLL, _LOAD):
            found.update({name: sentence(reason) for name, reason in pattern.findall(text)})
    return found


def unfinished(log: str) -> list[str]:
    """Names of models whose loading has begun and not ended."""
    return sorted(set(_BEGUN.findall(log)) - set(_DONE.findall(log)))


def sentence(reason: str) -> str:
    """Return Triton's reason without its status words and the traceback."""
    lines = reason.replace("\\n", "\n").split("\n\nAt:")[0]
    return _NOISE.sub("", " ".join(lines.split())).rstrip(";. ")


def ending(log: str) -> str:
    """Return what the log says last: its last error, else its last line that is not harmless."""
    if said := errors(log):
        return sentence(said[-1])
    lines = [line for line in _telling(log) if line.strip() and line[0] not in "+|"]
    return sentence(lines[-1]) if lines else "nothing"


def _telling(log: str) -> list[str]:
    return [line for line in log.splitlines() if not _HARMLESS.match(line)]

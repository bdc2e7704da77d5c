"""Run as a script: become another program, which the kernel kills when this one's parent ends.

    python leash.py PARENT_PID PROGRAM ARGUMENT…

A step of its own, because code between fork and exec is unsafe in a parent that has threads, and
a client of gRPC has.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie this process to its parent and execute the program in its place."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()

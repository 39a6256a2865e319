"""Who works on a sweep: processes, named so that others can tell whether they still do."""

import hashlib
import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """This machine since it was started, as its processes see it: containers are several."""
    facts = []
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(os.readlink("/proc/self/ns/pid"))
    host = socket.gethostname().split(".")[0]
    return f"{host}.{hashlib.sha256(''.join(facts).encode()).hexdigest()[:6]}"


def owner() -> str:
    """The name of this process, unlike that of any other."""
    return f"{machine()}-{os.getpid()}"


def at_work(name: str, silent: float, most: float) -> bool:
    """Whether the process that :func:`owner` named may still be at work.

    Args:
        name: of the process.
        silent: seconds since a sign of it.
        most: after so many it is taken for dead, wherever it was.
    """
    place, _, pid = name.rpartition("-")
    if silent > most:
        return False
    return place != machine() or not pid.isdigit() or _exists(int(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    with suppress(OSError):
        # One that has ended, and whose parent has not asked how.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True

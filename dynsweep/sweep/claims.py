"""Several commands on one directory share its work: each claims the batch that it trains.

A claim is a file ``DIR/claims/000017.json`` with the identities of the runs, made exclusively:
every file system does that, NFS too, and there are no locks. To claim is to read all claims that
there are, to make the next one, and to read them again: if another process has made one for the
same runs meanwhile, the own one is taken back, and the choice made again. While a batch trains its
file is written again, with what is done of it; a claim that was not written for long, or whose
process on this machine is gone, is none.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynsweep.errors import StorageError
from dynsweep.store import Damaged, SweepPaths
from dynsweep.store.files import make_folder, storing
from dynsweep.store.owners import at_work, owner
from dynsweep.store.sealed import read_json, seal, write_json

BEAT_SECONDS = 5.0
# Without a sign for so long a process of another machine is dead. (NFS tells of times late.)
SILENT_SECONDS = 180.0
AGAIN_SECONDS = 0.05  # most, before a claim is tried again
WRITING_SECONDS = 2.0  # a claim that is younger may not be whole yet


@dataclass(frozen=True)
class Claim:
    """What another process trains.

    Attributes:
        owner: the process, see :mod:`dynsweep.store.owners`.
        runs: identities.
        since: seconds since 1970; 0 of a version that did not say so.
        done: how many runs, with fractions of those under way.
    """

    owner: str
    runs: frozenset[str]
    since: float = 0.0
    done: float = 0.0


class Claims:
    """The claims in a sweep directory, as one process sees them and makes them.

    Attributes:
        done: how many runs of the own claim, for others to see.
    """

    def __init__(self, directory: str | Path) -> None:
        self.folder = SweepPaths(directory).claims
        self.done = 0.0
        self._own: Path | None = None
        self._content: dict[str, Any] = {}
        self._begun = False  # from then on the sweep's folder must be there

    def others(self, remove: bool = True) -> list[Claim]:
        """Those of other processes that are at work; of the others they are removed, unless
        nothing is to be changed."""
        files = self._files()
        now = self._now() if files and remove else time.time()
        found = []
        for path in files.values():
            if path == self._own:
                continue
            with suppress(OSError):
                silent = now - path.stat().st_mtime
                # Each time: a number may by now be that of another claim.
                claim = _read(path, patient=silent < WRITING_SECONDS)
                if at_work(claim.owner if claim else "", silent, SILENT_SECONDS):
                    found += [claim] if claim else []
                elif remove:
                    path.unlink()
        return found

    @contextmanager
    def claim(
        self, choose: Callable[[list[Claim]], tuple[list[int], Iterable[str]]]
    ) -> Iterator[list[int]]:
        """Claim what ``choose`` picks when it sees the claims of others: positions of runs, and
        the identities to claim. The claim ends with the block; for nothing none is made.

        Raises:
            StorageError: there is no room, or no permission.
        """
        try:
            while True:
                before = self._files()
                positions, runs = choose(self.others())
                number = 1 + max(map(int, before), default=0)
                if not positions:
                    break
                # Numbers begin anew when claims end, so that another process may have made one for
                # the same runs under another number: it or this one sees that now.
                if self._make(number, runs) and choose(self.others())[0] == positions:
                    break
                self._release()
                time.sleep(random.uniform(0, AGAIN_SECONDS))
            with self._beating():
                yield positions
        finally:
            self._release()

    def _make(self, number: int, runs: Iterable[str]) -> bool:
        """Make a claim, unless there is one of this number already."""
        path = self.folder / f"{number:06d}.json"
        if not self._begun:
            make_folder(self.folder)
        with storing(path):
            self.folder.mkdir(exist_ok=True)
            self._begun = True
            try:
                file = path.open("x")
            except (FileExistsError, FileNotFoundError):  # the folder goes with the last claim
                return False
            self._own, self.done = path, 0.0
            self._content = {"owner": owner(), "runs": sorted(runs), "since": round(time.time())}
            try:
                with file:
                    file.write(seal(self._content))
            except OSError:
                self._release()
                raise
        return True

    def _release(self) -> None:
        if self._own is not None:
            with suppress(OSError):
                self._own.unlink()
            self._own = None
        with suppress(OSError):  # others have claims
            self.folder.rmdir()

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Renew the own claim, in a thread."""
        if self._own is None:
            yield
            return
        path, ended = self._own, threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with suppress(OSError):
                    os.utime(path)  # even where there is no room to write
                with suppress(StorageError):
                    claim = _read(path, patient=False)
                    if claim and claim.owner == owner():  # not that of who took this one for dead
                        write_json(path, {**self._content, "done": round(self.done, 3)})

        thread = threading.Thread(target=beat, daemon=True, name="claim")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _files(self) -> dict[str, Path]:
        try:
            files = sorted(self.folder.glob("*.json"))
            return {path.stem: path for path in files if path.stem.isdigit()}
        except OSError:
            return {}

    def _now(self) -> float:
        """The time by the clock that stamps files there."""
        with suppress(OSError):
            os.utime(self.folder)
            return self.folder.stat().st_mtime
        return time.time()


def _read(path: Path, patient: bool) -> Claim | None:
    """A claim, where it is whole or, for the ``patient``, soon will be."""
    for _ in range(40 if patient else 1):
        with suppress(Damaged, KeyError, TypeError, ValueError):
            content = read_json(path)
            times = float(content.get("since", 0)), float(content.get("done", 0))
            return Claim(str(content["owner"]), frozenset(content["runs"]), *times)
        if not path.exists():
            break
        time.sleep(0.05)
    return None

"""Waiting for what may never answer."""

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def within(seconds: float, ask: Callable[[], ResultT]) -> ResultT:
    """What ``ask`` returns or raises; a :class:`TimeoutError` if it takes longer.

    Time limits of clients are for each connection, address, answer and retry. One that is given up
    stays behind in its thread, and ends with this process.
    """
    results: list[ResultT] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]


class Patient:
    """A client each of whose methods raises :class:`TimeoutError` after ``seconds``."""

    def __init__(self, client: Any, seconds: float) -> None:
        self._client, self._seconds = client, seconds

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *given, **named: within(self._seconds, lambda: method(*given, **named))

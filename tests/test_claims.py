"""Claims of runs by several processes: no run is claimed twice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from dynsweep.sweep.claims import Claim, Claims


def first_free(others: list[Claim]) -> tuple[list[int], list[str]]:
    """Of three runs the first that nobody has claimed."""
    taken = set[str]().union(*(claim.runs for claim in others))
    free = [number for number in range(3) if str(number) not in taken][:1]
    return free, [str(number) for number in free]


def test_a_claim_made_meanwhile_under_a_number_used_before_is_seen(tmp_path: Path) -> None:
    """Between the choice and the claim of one process the only claim that it saw ends, and
    another process makes a claim under that number."""
    one, two, three = Claims(tmp_path), Claims(tmp_path), Claims(tmp_path)
    with ExitStack() as stack:
        before = stack.enter_context(ExitStack())
        before.enter_context(one.claim(lambda others: ([0], ["0"])))
        got: list[list[int]] = []

        def choose(others: list[Claim]) -> tuple[list[int], list[str]]:
            chosen = first_free(others)
            if not got:
                before.close()
                got.append(stack.enter_context(two.claim(lambda others: ([1], ["1"]))))
            return chosen

        with three.claim(choose) as batch:
            assert got == [[1]]
            assert batch == [0]
            assert sorted(path.name for path in three.folder.iterdir()) == [
                "000001.json",
                "000002.json",
            ]

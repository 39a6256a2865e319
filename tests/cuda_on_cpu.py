"""CUDA graphs on the CPU, so that the code which captures and replays them runs without a GPU.

A capture records every operator with its tensors (and, other than a real one, also runs it); a
replay runs them again, into the same memory.
What reads a number from the device, or brings one to it, raises as it does in a real capture.
Products in bfloat16 are the CPU's. Not shown: streams, memory pools, the choices of libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# What waits for the device, or copies from pageable memory of the host.
FORBIDDEN = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal",
    "aten::lift_fresh", "aten::_unique2", "aten::repeat_interleave",
    # The host's random numbers would be the same in every replay.
    "aten::randperm", "aten::randint", "aten::rand", "aten::randn",
}  # fmt: skip


class Graph:
    """``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    @torch.no_grad()
    def replay(self) -> None:
        for operator, args, kwargs, held in self.calls:
            for before, now in zip(held, tree_leaves(operator(*args, **kwargs)), strict=True):
                if isinstance(before, Tensor) and before.data_ptr() != now.data_ptr():
                    before.copy_(now)


class Capture(TorchDispatchMode):
    """``torch.cuda.graph``."""

    def __init__(self, graph: Graph, pool: Any = None) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operator._schema.name
        masks = name.startswith("aten::index") and any(
            isinstance(leaf, Tensor) and leaf.dtype in (torch.bool, torch.uint8)
            for leaf in tree_leaves(args[1])
        )
        if masks or name in FORBIDDEN:
            raise RuntimeError(f"operation not permitted when stream is capturing: {operator}")
        with torch.no_grad():
            result = operator(*args, **kwargs)
        # Views, and what works in place, give their argument's memory again by themselves.
        own = all(one.alias_info is None for one in operator._schema.returns)
        held = tree_leaves(result) if own else [None] * len(tree_leaves(result))
        self.graph.calls.append((operator, args, kwargs, held))
        return result


class Stream:
    """``torch.cuda.Stream``."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_stream(self, other: Stream) -> None:
        pass


def one_hot(index: Tensor, classes: int) -> Tensor:
    """As on CUDA: on the CPU PyTorch looks at the values."""
    return (index.unsqueeze(-1) == torch.arange(classes)).long()


@contextmanager
def cuda_on_cpu() -> Iterator[None]:
    """Sessions of ``cpu`` capture and replay as those of ``cuda`` do."""
    autocast = torch.autocast

    def context(*_: Any, **__: Any) -> Any:
        return nullcontext()

    instead = {
        "CUDAGraph": Graph, "graph": Capture, "Stream": Stream, "stream": context,
        "device": context, "current_stream": Stream, "graph_pool_handle": lambda: None,
    }  # fmt: skip
    with ExitStack() as stack:
        for name, value in instead.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch("torch.nn.functional.one_hot", one_hot))
        on_cpu = mock.patch("torch.autocast", lambda _, *rest: autocast("cpu", *rest))
        stack.enter_context(on_cpu)
        yield

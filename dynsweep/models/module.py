"""A model written as a plain ``torch.nn.Module``, which a Python function makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dynsweep.errors import ConfigError
from dynsweep.lazy import Tensor, torch
from dynsweep.models import seeding
from dynsweep.models.base import Model, ModelConfig, Tensors
from dynsweep.own import NONE, Code, find, raised
from dynsweep.settings import check, follows, replaced, setting

if TYPE_CHECKING:
    from torch.nn import Module

TARGET = "model._target_"


@dataclass(unsafe_hash=True)
class OwnModelConfig(ModelConfig):
    """What ``_target_(shape, classes, width, **settings)`` returns: a ``torch.nn.Module``."""

    name: str = setting("own", short="model")
    width: int = setting(
        100, "given to the function, which may use it", least=1, short="width", label="width"
    )
    _target_: str = setting("", "the function or class, as in module.function")
    settings: dict[str, Any] = setting(NONE, "its further arguments")  # noqa: RUF009
    title: str = follows("", "its name in tables and figures", place=True)
    content: str = follows("", "of its source: a run is known by this, and not by paths")
    folder: str = follows("", "from which its module is imported", place=True)

    def resolved(self) -> OwnModelConfig:
        check(self, "model.")
        return _resolved(self, find(TARGET, self._target_))

    def build(self, shape: tuple[int, ...], classes: int) -> Model:
        code = find(TARGET, self._target_, self.folder, self.content)
        return _built(self, code, shape, classes)


@lru_cache(maxsize=64)
def _resolved(config: OwnModelConfig, code: Code) -> OwnModelConfig:
    title = config.title or config._target_.rpartition(".")[2]
    found = {"title": title, "content": code.digest, "folder": code.folder}
    return replaced(config, found)


@lru_cache(maxsize=16)
def _built(config: OwnModelConfig, code: Code, shape: tuple[int, ...], classes: int) -> Model:
    def make() -> Any:
        return code.call(shape, classes, width=config.width, **config.settings)

    try:
        made = _drawn(make, 0)
        if isinstance(made, Model):  # written for many runs at once, as those of this package
            return made
        if not isinstance(made, torch.nn.Module):
            raise TypeError(f"a torch.nn.Module is wanted, not {type(made).__name__}")
        model = ModuleModel(make, made.double(), shape)
        logits = model.trial(shape)
    except Exception as error:
        raise ConfigError(TARGET, config._target_, raised(error)) from None
    if logits.shape != (2, classes):
        found = f"{tuple(logits.shape)} for 2 samples, not (2, {classes})"
        raise ConfigError(TARGET, config._target_, f"its logits have the shape {found}")
    return model


def _drawn(make: Callable[[], Any], seed: int) -> Any:
    """A new module, whose weights PyTorch's own generator draws; that is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.generator(seed, seeding.WEIGHTS).initial_seed())
        return make()


class ModuleModel(Model):
    """Many runs of a module: ``torch.func`` maps its forward pass over their parameters.

    Names and shapes of parameters are the module's own. Means and variances of batch norm are
    buffers; what draws random numbers in the forward pass (dropout) raises.
    """

    def __init__(self, make: Callable[[], Any], template: Module, shape: tuple[int, ...]) -> None:
        self.make, self.template = make, template
        self.size = sum(value.numel() for value in template.parameters())
        if not self.size:
            raise TypeError("a module with parameters is wanted")
        self.footprint = 0

    def trial(self, shape: tuple[int, ...]) -> Tensor:
        """The logits of two samples; their numbers along the way are counted."""

        def count(module: Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                self.footprint += output.numel() // 2

        hooks = [one.register_forward_hook(count) for one in self.template.modules()]
        with torch.no_grad():
            logits: Tensor = self.template.eval()(torch.zeros(2, *shape, dtype=torch.float64))
        for hook in hooks:
            hook.remove()
        self.footprint *= 2  # functions between modules, about
        return logits

    def init(self, seed: int) -> Tensors:
        module = _drawn(self.make, seed).double()
        return {name: value.detach().clone() for name, value in module.named_parameters()}

    def buffers(self) -> Tensors:
        return {name: value.double() for name, value in self.template.named_buffers()}

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        module = self.template.train(training)

        def one(params: Tensors, buffers: Tensors, inputs: Tensor) -> Any:
            return torch.func.functional_call(module, (params, buffers), (inputs,))

        logits: Tensor = torch.func.vmap(one)(params, buffers, inputs)
        return logits

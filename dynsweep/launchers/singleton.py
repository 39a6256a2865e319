"""Hydra's ``HydraConfig`` singleton for one job, made only if the job looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from omegaconf import DictConfig


def masked(hydra: DictConfig) -> DictConfig:
    """A config that shows ``hydra`` alone, which stays part of its job's whole config.

    That is what the singleton holds.
    """
    config = DictConfig({})
    config.__dict__["_content"]["hydra"] = hydra
    return config


class LazyHydraConfig(HydraConfig):
    """A stand-in for the singleton; pickles as an ordinary one."""

    _make: Callable[[], DictConfig] | None = None
    _cfg: Any = None

    @staticmethod
    def of(make: Callable[[], DictConfig]) -> LazyHydraConfig:
        """A new one; calling the class would return the first one again."""
        lazy = object.__new__(LazyHydraConfig)
        lazy._make = make
        return lazy

    @property
    def cfg(self) -> Any:
        if self._make is not None:
            config = self._make()
            self.cfg = masked(config.__dict__["_content"]["hydra"])
        return self._cfg

    @cfg.setter
    def cfg(self, value: Any) -> None:
        self._make, self._cfg = None, value

    def __reduce__(self) -> tuple[Any, ...]:
        return _ordinary, (self.cfg,)


def _ordinary(cfg: Any) -> HydraConfig:
    singleton = object.__new__(HydraConfig)
    singleton.cfg = cfg
    return singleton


@contextmanager
def hydra_config(make: Callable[[], DictConfig]) -> Iterator[None]:
    """``HydraConfig`` and ``${hydra:...}`` refer to the whole config that ``make`` returns."""
    before = HydraConfig.instance()
    Singleton._instances[HydraConfig] = LazyHydraConfig.of(make)  # type: ignore[assignment]
    try:
        yield
    finally:
        Singleton._instances[HydraConfig] = before  # type: ignore[assignment]

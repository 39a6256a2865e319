"""dynsweep: hyperparameter sweeps of dynamical loss functions, many runs in one batch."""

__version__ = "0.1.0"

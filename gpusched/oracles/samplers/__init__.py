"""Samplers: where the values of a new trial come from."""

from gpusched.errors import UsageError
from gpusched.oracles.samplers.base import RandomSampler, Sampler
from gpusched.oracles.samplers.grid import GridSampler
from gpusched.oracles.samplers.model import ModelSampler
from gpusched.oracles.samplers.space import Space

SAMPLERS: dict[str, type[Sampler]] = {"random": RandomSampler, "model": ModelSampler}


def make_sampler(name: str) -> Sampler:
    """The sampler of this name."""
    if name not in SAMPLERS:
        raise UsageError(f"sampler: {name!r} is unknown; there are {', '.join(SAMPLERS)}")
    return SAMPLERS[name]()


__all__ = ["SAMPLERS", "GridSampler", "ModelSampler", "RandomSampler", "Sampler", "Space", "make_sampler"]

"""A Gaussian process over (configuration, log epoch), fitted by maximum a posteriori.

Pure NumPy on at most a few hundred points. Knows points in the unit cube, levels of training in [0, 1] and which
points are of the same trial; what they stand for is its caller's business.

The kernel is a sum: a smooth function of the configuration that drifts with the level of training (Matérn 5/2 with
a length for each dimension, times an exponential in the level), a trial's own luck that drifts likewise (two
trainings of one configuration differ), a curve that all share, and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

_SQRT5 = 5.0**0.5

#: Mean and standard deviation of the prior of each logarithm but the lengths.
_PRIOR = {
    "signal": (0.0, 1.0),
    "drift": (0.7, 1.0),
    "shared": (0.0, 1.0),
    "luck": (-2.5, 1.0),
    "noise": (-5.0, 1.0),
    "slope": (0.0, 0.5),
}
_NAMES = tuple(_PRIOR)


class GP:
    """Posterior of a function of configuration and level.

    ``x`` is (n, d) in the unit cube, ``t`` (n,) the level, ``trial`` (n,) which trial a point is of, ``y`` (n,)
    about standardised. ``noise``, its variance, is fitted where it is not given; where it is, all luck is noise.
    """

    def __init__(
        self,
        x: Array,
        t: Array,
        trial: npt.NDArray[np.int64],
        y: Array,
        theta: Array | None,
        noise: float | None = None,
    ) -> None:
        self.x, self.t, self.trial, self.y = x, t, trial, y
        self._d = d = x.shape[1]
        means = [m for m, _ in _PRIOR.values()]
        # Longer where there are more dimensions (Hvarfner et al. 2024): distances in the cube grow with their root.
        self._mean = np.array([np.log(0.35 * max(d, 1) ** 0.5)] * d + means)
        self._sd = np.array([0.8] * d + [s for _, s in _PRIOR.values()])
        if noise is not None:
            self._mean[d + 3 : d + 5], self._sd[d + 3 : d + 5] = (-20.0, np.log(noise)), 1e-6
        self.theta = self._mean.copy() if theta is None or len(theta) != d + len(means) else theta

    def fit(self, steps: int = 30) -> None:
        """Moves the parameters to their most probable values given the points."""
        from scipy.optimize import minimize

        low, high = self._mean - 3 * self._sd, self._mean + 3 * self._sd
        bounds = list(zip(low, high, strict=True))
        found = minimize(
            self.loss(), self.theta, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}
        )
        self.theta = found.x

    def loss(self) -> Callable[[Array], tuple[float, Array]]:
        """The negative logarithm of the parameters' posterior, and its gradient, as a function of the parameters."""
        squares = (self.x.T[:, :, None] - self.x.T[:, None, :]) ** 2
        flat = squares.reshape(self._d, -1)
        gap = np.abs(self.t[:, None] - self.t[None, :])
        same = (self.trial[:, None] == self.trial[None, :]).astype(float)
        back = 1.0 - self.t

        def loss(theta: Array) -> tuple[float, Array]:
            d, n = self._d, len(self.y)
            lengths = np.exp(-2 * theta[:d])
            signal, drift, shared, luck, noise = np.exp(theta[d : d + 5])
            r = np.sqrt(lengths @ flat).reshape(n, n)
            e = np.exp(-_SQRT5 * r)
            matern = (1 + _SQRT5 * r + 5 / 3 * r * r) * e
            decay = np.exp(-gap / drift)
            scale = np.exp(theta[d + 5] * back)
            weight = decay * (scale[:, None] * scale[None, :])
            smooth, own = signal * matern * weight, luck * same * weight
            common = shared * np.exp(-gap)
            k = smooth + own + common
            k.flat[:: n + 1] += noise + 1e-8
            try:
                chol = np.linalg.cholesky(k)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            half = _solve_lower(chol, np.eye(n))
            inverse = half.T @ half
            alpha = inverse @ self.y
            away = (theta - self._mean) / self._sd
            value = 0.5 * self.y @ alpha + np.log(np.diag(chol)).sum() + 0.5 * away @ away
            g = 0.5 * (inverse - alpha[:, None] * alpha[None, :])
            slope_r = g * weight * (signal * 5 / 3) * (1 + _SQRT5 * r) * e
            grad = np.empty_like(theta)
            # r falls as a length grows and the kernel rises.
            grad[:d] = (flat @ slope_r.ravel()) * lengths
            gs, go = g * smooth, g * own
            grad[d] = gs.sum()
            grad[d + 1] = ((gs + go) * gap).sum() / drift
            grad[d + 2] = (g * common).sum()
            grad[d + 3] = go.sum()
            grad[d + 4] = noise * np.trace(g)
            grad[d + 5] = 2 * ((gs + go) @ back).sum()
            return value, grad + away / self._sd

        return loss

    def _cross(
        self, x: Array, t: Array, trial: npt.NDArray[np.int64], z: Array, u: Array, other: npt.NDArray[np.int64]
    ) -> Array:
        d, theta = self._d, self.theta
        inv = np.exp(-theta[:d])
        signal, drift, shared, luck, _ = np.exp(theta[d : d + 5])
        a, b = x * inv, z * inv
        r2 = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
        r = np.sqrt(np.maximum(r2, 0.0))
        gap = np.abs(t[:, None] - u[None, :])
        matern = (1 + _SQRT5 * r + 5 / 3 * r * r) * np.exp(-_SQRT5 * r)
        weight = np.exp(-gap / drift) * np.exp(theta[d + 5] * ((1 - t)[:, None] + (1 - u)[None, :]))
        k: Array = (signal * matern + luck * (trial[:, None] == other[None, :])) * weight + shared * np.exp(-gap)
        return k

    def condition(self) -> None:
        """Prepares predictions from the points."""
        k = self._cross(self.x, self.t, self.trial, self.x, self.t, self.trial)
        n = len(self.y)
        k.flat[:: n + 1] += np.exp(self.theta[self._d + 4]) + 1e-8
        self._chol: Array = np.asarray(np.linalg.cholesky(k), np.float64)
        self._half = _solve_lower(self._chol, self.y[:, None])[:, 0]

    def predict(self, z: Array, u: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the smooth part, for new trials."""
        none = np.full(len(z), -1)
        v = _solve_lower(self._chol, self._cross(self.x, self.t, self.trial, z, u, none))
        mean = v.T @ self._half
        signal, _, shared = np.exp(self.theta[self._d : self._d + 3])
        variance = signal * np.exp(2 * self.theta[self._d + 5] * (1 - u)) + shared - (v * v).sum(0)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def draw(self, z: Array, u: Array, rng: np.random.Generator) -> Array:
        """The smooth part of one function from the posterior, at new points."""
        none = np.full(len(z), -1)
        v = _solve_lower(self._chol, self._cross(self.x, self.t, self.trial, z, u, none))
        k = self._cross(z, u, none, z, u, np.full(len(z), -2)) - v.T @ v
        for jitter in (1e-6, 1e-4, 1e-2):
            k.flat[:: len(z) + 1] += jitter
            try:
                root = np.linalg.cholesky(k)
            except np.linalg.LinAlgError:
                continue
            return np.asarray(v.T @ self._half + root @ rng.standard_normal(len(z)))
        return np.asarray(v.T @ self._half)


def _solve_lower(chol: Array, b: Array) -> Array:
    from scipy.linalg import solve_triangular

    found: Any = solve_triangular(chol, b, lower=True, check_finite=False)
    return np.asarray(found)

r"""How far to overshoot in Sinkhorn's iteration, from the rate at which its error falls.

Near the solution a plain iteration shrinks the error by a factor eta (rho^2 for the means of
Gaussians). Overshooting by ``omega`` in both half steps shrinks it by lambda, where (Young 1971)::

    (lambda + omega - 1)^2 = omega^2 eta lambda,       best: omega = 2/(1 + sqrt(1 - eta))

at which lambda = omega - 1. So a rate measured at any omega below the best one gives eta, and the
best omega. Thibault, Chizat, Dossal & Papadakis 2017, arXiv:1711.01851; Lehmann et al. 2021,
arXiv:2012.12562. Not to be confused with scaling the potentials' step after both updates.
"""

from __future__ import annotations

import math

WINDOW = 5  # sweeps between two looks at a plain iteration
STEADY = 0.1  # agreement of successive plain rates, in units of the distance to 1
LARGEST = 1.995
PROBE = 10  # plain sweeps in a row, to see what they leave


def best_omega(eta: float) -> float:
    """``2/(1 + sqrt(1 - eta))`` for a plain rate eta in [0, 1)."""
    return min(2.0 / (1.0 + math.sqrt(1.0 - eta)), LARGEST)


def relaxed_rate(omega: float, eta: float) -> float:
    """Rate lambda of the iteration with ``omega`` where the plain one has the rate eta."""
    if omega >= 2.0 / (1.0 + math.sqrt(1.0 - eta)):
        return omega - 1.0
    root = omega * math.sqrt(eta)
    return ((root + math.sqrt(root * root - 4.0 * (omega - 1.0))) / 2.0) ** 2


def plain_rate(omega: float, rate: float) -> float:
    """The plain rate eta that explains a rate seen with ``omega``; at least 1 where none does."""
    return (rate + omega - 1.0) ** 2 / (omega * omega * rate)


class Relaxation:
    """Chooses omega while errors come in; falls back to smaller ones where errors grow.

    A slow mode shows ``omega/(2 - omega)`` times more of itself in the error of an overshooting
    sweep than in that of a plain one, and may be all that is left to see: so once the error is
    within that factor of the tolerance, a few plain sweeps are tried.

    Parameters
    ----------
    fixed : float or None
        An omega in (0, 2) to be kept; None to choose.
    tolerance : float
        Error at which the iteration will stop.
    """

    def __init__(self, fixed: float | None = None, tolerance: float = 0.0) -> None:
        self.fixed, self.tolerance = fixed, tolerance
        self.chosen, self.cap = 1.0, LARGEST
        self.landing = False
        self.unproven = 0
        self.probing, self.began, self.next_probe = 0, math.inf, math.inf
        self._restart()

    @property
    def omega(self) -> float:
        """Of the next sweep."""
        if self.fixed is not None:
            return self.fixed
        return 1.0 if self.probing or self.landing else self.chosen

    def _restart(self) -> None:
        self.sweeps, self.errors, self.looks, self.last = 0, [], 0, math.nan
        self.stuck = False

    def land(self) -> None:
        """No overshooting from here on: the last sweeps are plain."""
        self.landing = True

    def lower(self) -> None:
        """Halve the overshoot, and raise it again only step by step."""
        self.chosen = self.cap = 1.0 + 0.5 * (self.chosen - 1.0)
        self.probing = 0
        self._restart()

    def see(self, error: float, sweeps: int = 1) -> None:
        """Take the error after so many more sweeps; may change ``omega``."""
        if self.fixed is not None or self.landing:
            return
        self.sweeps += sweeps
        self.unproven += sweeps
        self.errors.append((self.sweeps, error))
        if self.probing:
            self._look_probe(error)
            return
        if self.chosen == 1.0:
            self._look_plain()
            return
        self._look_relaxed()
        slow = error * (2.0 - self.chosen) / self.chosen  # what a plain sweep might leave
        promising = slow < min(self.tolerance, self.next_probe) and self.sweeps >= PROBE
        due = slow < 10 * self.tolerance and self.unproven >= 8 * self._window()
        if promising or due or (self.stuck and slow < 100 * self.tolerance):
            self.probing, self.began, self.unproven = PROBE, slow, 0
            self._restart()

    def _look_probe(self, error: float) -> None:
        """Go on with plain sweeps while they promise to reach the tolerance soon."""
        if self.sweeps < self.probing:
            return
        promised = error * self._rate(PROBE // 2) ** (2 * PROBE)
        if promised < self.tolerance and self.sweeps < 10 * PROBE:
            self.probing = self.sweeps + PROBE
            return
        self.probing, self.next_probe = 0, self.began * min(0.5, self.tolerance / error)
        self._restart()

    def _rate(self, window: int) -> float:
        """Geometric mean of the rate over the last ``window`` sweeps or some more."""
        end, error = self.errors[-1]
        for begin, before in reversed(self.errors[:-1]):
            if end - begin >= window:
                return (error / before) ** (1.0 / (end - begin)) if before > 0.0 else math.nan
        return math.nan

    def _look_plain(self) -> None:
        if self.errors[-1][0] < WINDOW * (self.looks + 1):
            return
        self.looks = self.sweeps // WINDOW
        rate, before = self._rate(WINDOW), self.last
        self.last = rate
        if rate < 1.0 and abs(rate - before) < STEADY * (1.0 - rate):
            self._take(rate)

    def _window(self) -> int:
        """Sweeps in which an overshooting iteration forgets, three times over."""
        return math.ceil(max(2 * WINDOW, 3.0 / -math.log(self.chosen - 1.0)))

    def _look_relaxed(self) -> None:
        window = self._window()
        if self.sweeps < 2 * window:  # the first is the change's own
            return
        rate = self._rate(window)
        if not rate < 1.0:
            if not rate**window < 2.0:
                self.lower()
            self.stuck = True
            return
        self.cap = min(LARGEST, 1.0 + 0.5 * self.cap)
        eta = plain_rate(self.chosen, rate)
        if rate > self.chosen - 1.0 and eta < 1.0:
            self._take(eta)
        if self.sweeps:
            self.errors = [(n - window, e) for n, e in self.errors if n >= window]
            self.sweeps -= window

    def _take(self, eta: float) -> None:
        omega = min(best_omega(eta), self.cap)
        if omega > self.chosen + 0.02 * (2.0 - self.chosen):
            self.chosen = omega
            self._restart()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The Fokker-Planck equation: what it says, and what it does not
#
# Drift and noise move points at random. The density of the points moves by an equation without
# chance in it. For diffusion models this equation is the one thing that ODE, SDE and forward
# process have in common, and the one thing that a learned score can be held against without data.
#
# In under half a minute:
#
# 1. what the equation says, on a law whose density is known at every time;
# 2. residuals: zero for the exact score, whatever the noise;
# 3. a wrong score in the residual, and what cannot be seen there;
# 4. a mean residual with an error bar, and how many points it needs;
# 5. the equation solved on a grid: mass, sign, order;
# 6. how slowly a double well forgets; an exercise that checks itself.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.fokker_planck import (
    Box,
    Dynamics,
    TooFewSamplesError,
    collocate,
    curl,
    drifting,
    evolve,
    exact_log_density,
    exact_score,
    extrapolated,
    flow_ode,
    forward_sde,
    grid_gaps,
    log_residual,
    points,
    reverse_sde,
    reversible,
    score_residual,
)
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.toy_models import problem

torch.set_num_threads(1)
plt.style.use(STYLE)

line, plane = problem("line"), problem("mixture")  # one coordinate; five modes in two

# %% [markdown]
# ## 1. The equation
#
# Points that follow $dx = b\,dt + g\,dW$ have a density with
#
# $$\partial_t p = -\nabla\cdot(b\,p) + \tfrac12 g^2\,\Delta p .$$
#
# The first term carries, the second spreads. Forward in time $b = f x$. With the score
# $s = \nabla\log p$ the second is one more carrying, $\Delta p = \nabla\cdot(s\,p)$. So the same
# densities are made by the ODE $\dot x = f x - \frac12 g^2 s$, and by SDEs in between and beyond:
#
# $$dx = \left[-f x + \tfrac{1+\eta}{2}\,g^2 s\right] d\tau + \sqrt{\eta}\,g\,dW,
#   \qquad d\tau = -dt,\quad \eta \ge 0.$$

# %%
x = torch.linspace(-3.2, 3.2, 241, dtype=torch.float64)[:, None]
times = np.linspace(0.02, line.process.t_max, 80)
density = exact_log_density(line.law, line.process)
seen = torch.stack([density(x, torch.full((241,), t, dtype=x.dtype)).exp() for t in times], 1)
figure, axes = plt.subplots(figsize=(6, 3))
axes.imshow(
    seen.sqrt().numpy(), origin="lower", extent=(times[0], times[-1], -3.2, 3.2), aspect="auto",
    cmap="Blues",
)  # fmt: skip
axes.grid(visible=False)
axes.set(xlabel="t (data on the left)", ylabel="x", title="One density at every time")
plt.show()

# %% [markdown]
# ## 2. Residuals
#
# Divided by $p$ the equation is a statement about $\phi = \log p$ alone:
#
# $$R = \partial_t\phi + \nabla\cdot b + b\cdot s - \tfrac12 g^2\,(\Delta\phi + |s|^2) = 0 .$$
#
# Automatic differentiation gives every term at any point. They cancel; what is left is measured
# against the sum of their sizes. All equations of the family pass, the ODE among them:

# %%
score, phi = exact_score(plane.law, plane.process), exact_log_density(plane.law, plane.process)
at = points(plane.law, plane.process, [0.1, 0.4, 0.8], 100, seed=0)
family = {
    "forward SDE": forward_sde(plane.process),
    "ODE": flow_ode(plane.process, score),
    **{f"reverse, eta = {e:g}": reverse_sde(plane.process, score, e) for e in (0.5, 1, 3)},
}
for name, dynamics in family.items():
    found = log_residual(dynamics, phi, *at)
    print(f"{name:18s} |R| up to {float(found.value.abs().max()):.0e}, relative {found.worst:.0e}")

# %% [markdown]
# ## 3. A wrong score
#
# Put $s + e$ into the equation of generation, and keep the right density. What is left is
#
# $$R = \tfrac{1+\eta}{2}\,g^2\,(\nabla\cdot e + e\cdot s):$$
#
# the density feels an error only through this one number at each point. For $e = \delta s$:

# %%
t, delta = 0.3, 0.1
one, grid_t = exact_score(line.law, line.process), torch.full((241,), t, dtype=x.dtype)
node, g2 = line.process.node(t), float(line.process.g2(t))
s, bend = (
    line.law.score(x, node.alpha, node.sigma)[:, 0],
    line.law.hessian(x, node.alpha, node.sigma)[:, 0, 0],
)
figure, axes = plt.subplots(figsize=(6, 3))
for colour, eta in zip(COLOURS, (0.0, 1.0, 3.0), strict=False):
    wrong = reverse_sde(line.process, lambda y, r: (1 + delta) * one(y, r), eta)
    found = log_residual(wrong, density, x, t).value
    closed = 0.5 * (1 + eta) * g2 * delta * (bend + s**2)
    axes.plot(x[:, 0], found, color=colour, label=f"η = {eta:g}")
    print(f"eta = {eta:g}: off the closed form by {float((found - closed).abs().max()):.0e}")
axes.plot(x[:, 0], 4 * density(x, grid_t).exp(), color="black", lw=0.8, ls=":", label="4 p")
axes.set(xlabel="x", ylabel="R", title="A score that is 10 % too large", ylim=(-8, 12))
axes.legend()
plt.show()

# %% [markdown]
# Three things to know before a residual is trusted:
#
# * forget the constant $f d$ and $R$ is that constant at the truth, unless only its gradient
#   is looked at, which never sees it;
# * a field $r$ with $\nabla\cdot r + r\cdot s = 0$, such as $A s$ with $A$ antisymmetric, is
#   invisible here, and harmless to the densities, however large it is;
# * the residual belongs to the dynamics. The score of *another* law obeys the forward equation.

# %%
turn = torch.tensor([[0.0, -3.0], [3.0, 0.0]], dtype=torch.float64)
cases = {
    "exact": score,
    "stirred by 3 A s": lambda y, r: score(y, r) + score(y, r) @ turn.mT,
    "pushed by |A| s": lambda y, r: score(y, r) + 0.1 * score(y, r) @ turn.abs().mT,
}
for name, field in cases.items():
    found = log_residual(reverse_sde(plane.process, field, 1.0), phi, *at)
    print(f"{name:18s} residual {found.worst:.0e}   curl {curl(field, *at).worst:.0e}")
other = exact_score(problem("digits-mixture").law, plane.process)
y, r = points(problem("digits-mixture").law, plane.process, [0.5], 4, seed=0)
alien = score_residual(forward_sde(plane.process), other, y, r).worst
print(f"the score of another law: {alien:.0e}, and it would generate that other law")

# %% [markdown]
# ## 4. How large is it?
#
# A number for a whole network is a mean over points, and points belong where the density is: a
# box of points weighs what never happens. The mean comes with an interval. If it cannot be as
# narrow as one asks, a sentence says how many points would be enough:


# %%
def wrong_residual(y, r):
    field = reverse_sde(plane.process, lambda z, q: 1.1 * score(z, q), 1.0)
    return log_residual(field, phi, y, r)


for n in (50, 500):
    drawn = points(plane.law, plane.process, [0.3, 0.6], n, seed=1)
    print("mean square:", collocate(wrong_residual, drawn))
try:
    collocate(wrong_residual, drawn, within=0.05)
except TooFewSamplesError as error:
    print("refused:", error)

# %% [markdown]
# ## 5. On a grid
#
# In one or two dimensions the equation can be solved for densities that nobody knows in closed
# form. Cells exchange mass at rates that are never negative, so mass is kept and stays positive;
# the rates are made of *differences* of the potential, so that the steady density is kept exactly
# and not to $O(h^2)$. Three nested grids, extrapolated, lose the terms $h^2$ and $h^4$ (a small
# $h^3$ of the time steps is what is left in the end):

# %%
kappa, noise, spread = 1.2, 0.64, 0.05


def normal(z, mean, var):
    return np.exp(-((z - mean) ** 2) / (2 * var)) / math.sqrt(2 * math.pi * var)


def start(z):
    return normal(z[:, 0], 1.5, spread)


def chain(box):
    return reversible(box, lambda z: z[:, 0] ** 2 * kappa / noise, noise)


kept = math.exp(-kappa)
end = 1.5 * kept, spread * kept**2 + noise / (2 * kappa) * (1 - kept**2)
counts, errors = [24, 48, 96, 192], {"one grid": [], "three grids": []}
for n in counts:
    box = Box((-3.4,), (4.2,), (n,))
    fine = Box((-3.4,), (4.2,), (8 * n,))
    truth = fine.masses(lambda z: normal(z[:, 0], *end)).reshape(n, 8).sum(1)
    plain = evolve(chain(box), box.masses(start, lost=1e-4), 1.0, n // 4)
    errors["one grid"].append(np.abs(plain.masses - truth).sum())
    better = extrapolated(chain, box, start, 1.0, n // 4)
    errors["three grids"].append(np.abs(better.masses - truth).sum())
    print(f"{n:3d} cells: mass 1 {plain.masses.sum() - 1:+.0e}, least mass {plain.least:.1e}")
figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, (name, found) in zip(COLOURS, errors.items(), strict=False):
    axes.loglog(counts, found, "o-", color=colour, label=name)
    print(f"{name}: slopes {(-np.diff(np.log2(found))).round(2).tolist()}")
axes.set_xticks(counts, [str(n) for n in counts])
axes.minorticks_off()
axes.set(xlabel="cells", ylabel="L1 error at t = 1", title="An Ornstein-Uhlenbeck density")
axes.legend()
plt.show()

# %% [markdown]
# ## 6. How slowly a double well forgets
#
# $dx = -V'\,dt + \sqrt{2D}\,dW$ with $V = (x^2 - 1)^2$ forgets its start like $e^{-\gamma t}$. The
# gap $\gamma$ is the smallest eigenvalue above zero of the grid's matrix. Nine digits of it
# are known at two noises, where Kramers' asymptote is 7 and 11 % off:

# %%
levels = np.geomspace(0.12, 0.8, 14)


def well(z):
    return (z[:, 0] ** 2 - 1) ** 2


gaps = [grid_gaps(-4, 4, lambda z, d=d: well(z) / d, 2 * d, count=1).values[0] for d in levels]
kramers = [math.sqrt(32) / math.pi * math.exp(-1 / d) for d in levels]
figure, axes = plt.subplots(figsize=(5.6, 3.4))
axes.semilogy(1 / levels, gaps, color=COLOURS[0], label="the grid")
axes.semilogy(1 / levels, kramers, color=COLOURS[1], ls="--", label="Kramers")
axes.set(xlabel="1/D", ylabel="gap", title="Crossing gets exponentially rare")
axes.legend()
plt.show()
for d, known in ((0.5, 0.2272733015), (0.25, 0.0297795932)):
    found = grid_gaps(-3.5, 3.5, lambda z, d=d: well(z) / d, 2 * d, count=1).values[0]
    print(f"D = {d}: gap {found:.10f}, known {known}")

# %% [markdown]
# What the balance is for: after a very long time the cells must hold $e^{-V/D}$, whose part on the
# barrier decides how often it is crossed. With rates made of the drift at the faces they hold it
# to $O(h^2)$ only, with rates made of potential differences to rounding:

# %%
box = Box((-3.0,), (3.0,), (64,))
steady = np.exp(-well(box.centres) / 0.25)
steady /= steady.sum()
for name, rates in (
    ("potential differences", reversible(box, lambda z: well(z) / 0.25, 0.5)),
    ("drift at the faces", drifting(box, lambda z: -4 * z * (z**2 - 1), 0.5)),
):
    late = evolve(rates, np.ones(64) / 64, 1e9, 2, method="euler", walls=math.inf).masses
    print(f"{name:22s} steady density off by {np.abs(late - steady).sum():.0e}")

# %% [markdown]
# ## Exercise
#
# The reverse SDE below has been written from memory. Its residual at the exact density is not
# zero. One term is wrong: repair it. (`g2`, `f` are those of the process at time `t`; time runs
# backward, so that a rate in it is minus a rate in `t`.)

# %%
f = float(plane.process.f(0.4))
rate = float(plane.process.g2(0.4))


def drift(y, r):
    return f * y + rate * score(y, r)


def check(name, b):
    """The residual at t = 0.4 of the exact density under this drift with noise g."""
    sde = Dynamics(b, lambda y, _: torch.full_like(y[:, 0], rate), True, state_dependent=False)
    z, r = points(plane.law, plane.process, [0.4], 50, seed=2)
    worst = log_residual(sde, phi, z, r).worst
    print(f"{name}: {worst:.0e}: {'well done' if worst < 1e-10 else 'another density'}")


check("as it stands", drift)

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]
check("the answer", lambda y, r: -f * y + rate * score(y, r))

# %% [markdown]
# **What to remember.** One equation, a whole family of dynamics. A residual of zero says that the
# density belongs to the dynamics, never that it is the density of the data; and some errors of a
# score move no density at all. What they do move is the subject of the next notebook.

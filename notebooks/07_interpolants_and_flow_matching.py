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
# # Stochastic interpolants and flow matching
#
# A diffusion model goes from noise to data. Nothing needs the first law to be noise: between any
# two laws one can write down a way, and learn the field that follows it by least squares. Flow
# matching, rectified flow and diffusion are choices of coefficients in one formula.
#
# In under a minute, with exact fields in place of a network (but for the last section):
#
# 1. one pair of laws, several ways between them;
# 2. the ODE, on the samplers of diffusion models;
# 3. the SDEs: one law for every noise, both ways in time;
# 4. what a wrong drift costs, and what noise has to do with it;
# 5. the energy of a path, and when straight is not best;
# 6. learning the field; an exercise that checks itself.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.affine_law import affine_law
from fokker.analysis.distances import gaussian_w2
from fokker.analysis.interpolant_error import drift_cost, same_error
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.solvers.grids import uniform_lam
from fokker.solvers.likelihood.density import log_density
from fokker.solvers.noise import CellNoise
from fokker.solvers.sde.basic import euler_maruyama
from fokker.solvers.sde.rungekutta import sra1
from fokker.solvers.sde.solve import solve
from fokker.solvers.transport import kinetic
from fokker.solvers.transport.as_flow import FLOW, flow_model, transported
from fokker.solvers.transport.interpolant import (
    encoder_decoder,
    linear,
    mirror,
    smooth,
    trigonometric,
)
from fokker.solvers.transport.interpolant_sde import backward_sde, bump, forward_sde
from fokker.solvers.transport.objectives import Draws, objective
from fokker.toy_models.interpolated import between
from fokker.toy_models.learned_interpolant import learn_field
from fokker.toy_models.mixture import GaussianMixture

torch.set_num_threads(1)
plt.style.use(STYLE)
F64 = torch.float64


def law(weights, means, stds):
    covs = torch.tensor(stds, dtype=F64).square()[:, None, None]
    return GaussianMixture(
        torch.tensor(weights, dtype=F64), torch.tensor(means, dtype=F64)[:, None], covs
    )


first = law([0.6, 0.4], [-1.4, 1.2], [0.3, 0.4])
last = law([0.3, 0.4, 0.3], [-2.4, 0.2, 2.5], [0.25, 0.3, 0.25])

# %% [markdown]
# ## 1. Ways between two laws
#
# $$x_u = \alpha(u)\,x_0 + \beta(u)\,x_1 + \gamma(u)\,z, \qquad u \in [0, 1],$$
#
# with $z$ normal and $\gamma = 0$ at both ends. Here $x_0$ belongs to the first law and $x_1$ to
# the last. (In the rest of this project $\alpha$ belongs to the data and time ends in noise.)
# The ends are always right. What happens on the way is a choice:

# %%
x = torch.linspace(-4.5, 4.5, 161, dtype=F64)[:, None]
figure, places = plt.subplots(1, 5, figsize=(12, 2.8), sharey=True, layout="constrained")
for axes, make in zip(
    places, (linear, trigonometric, smooth, encoder_decoder, mirror), strict=True
):
    path = between(make(), first, last)
    rows = [path.law(float(u)).log_density(x).exp() for u in np.linspace(0, 1, 61)]
    seen = torch.stack(rows).T.sqrt()
    axes.imshow(seen, origin="lower", extent=(0, 1, -4.5, 4.5), aspect="auto", cmap="Blues")
    axes.grid(visible=False)
    axes.set(title=path.interpolant.name, xlabel="u")
places[0].set_ylabel("x")
plt.show()

# %% [markdown]
# ## 2. The ODE
#
# The law of $x_u$ is carried by the velocity $b(x, u) = E[\dot x_u \mid x_u = x]$. With
# $t = 1 - u$ that is a flow model, $-b(x, 1 - t)$ being its prediction, and every sampler of the
# ODE here runs on it, with the order that it has:

# %%
path = between(linear(), first, last)
grids = uniform_lam(FLOW, -2.0, 3.0)  # lam = log(u/(1 - u))
begin, end = (1 - node.t for node in grids.grid(1).nodes)
starts = path.law(begin).sample(40, seed=0)
truth = transported(path.velocity, starts, grids.grid(400), sampler="exp_rk4_data")
counts = [16, 32, 64, 128]
figure, axes = plt.subplots(figsize=(5.6, 3.6))
for colour, name in zip(COLOURS, ("ddim", "dpmpp_2m", "unipc_3", "exp_rk4_data"), strict=False):
    errors = []
    for n in counts:
        out = transported(path.velocity, starts, grids.grid(n), sampler=name)
        errors.append(float((out - truth).square().mean().sqrt()))
    axes.loglog(counts, errors, "o-", color=colour, label=name)
    print(f"{name:13s} last slope {math.log2(errors[-2] / errors[-1]):.2f}")
axes.set_xticks(counts, [str(n) for n in counts])
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="error", title="Samplers of diffusion models on an interpolant")
axes.legend()
plt.show()

# %% [markdown]
# The log-density is one more coordinate of the state. Its truth is known:

# %%
points = path.law(end).sample(5, seed=3)
found = log_density(
    flow_model(path.velocity), FLOW, grids.grid(100), points,
    prediction="flow", start_density=path.law(begin).log_density,
)  # fmt: skip
gap = (found.log_density - path.law(end).log_density(points)).abs().max()
print(f"largest error of the log-density: {float(gap):.1e}")

# %% [markdown]
# ## 3. The SDEs
#
# With the score $s$ of the law of $x_u$ there is a whole family, for any $\varepsilon(u) \ge 0$,
#
# $$dX = (b + \varepsilon s)\,du + \sqrt{2\varepsilon}\,dW ,$$
#
# and $b - \varepsilon s$ for the way back. The paths differ, the law at each $u$ does not.

# %%
times = np.linspace(0, 1, 101).tolist()
figure, places = plt.subplots(1, 4, figsize=(12, 3), sharey=True, layout="constrained")
settings = [(forward_sde, 0.0), (forward_sde, 0.3), (forward_sde, bump(3.0)), (backward_sde, 0.3)]
titles = ["ε = 0", "ε = 0.3", "ε = 12 u(1 - u)", "backward, ε = 0.3"]
for axes, colour, (make, noise), title in zip(places, COLOURS, settings, titles, strict=False):
    back = make is backward_sde
    one = (last if back else first).sample(1, seed=4).expand(6, 1)
    sde = make(path.velocity, path.score, noise)
    seen = solve(sde, sra1, times, one, noise=CellNoise(1), save_at=range(101)).saved
    paths = torch.cat([seen[k] for k in range(101)], 1).T
    axes.plot([1 - t for t in times] if back else times, paths, color=colour, lw=0.8)
    axes.set(title=title, xlabel="u")
plt.show()

# %% [markdown]
# A step size spoils this. Between Gaussians the law after $n$ steps is known exactly, without
# samples, since each step is an affine map of the state and its noises:

# %%
one = torch.ones(1, dtype=F64)
covs = torch.tensor([[[1.0, 0.5], [0.5, 0.6]], [[0.4, -0.2], [-0.2, 0.7]]], dtype=F64)
means = torch.tensor([[0.3, -1.0], [2.0, 0.4]], dtype=F64)
gauss = between(
    linear(),
    GaussianMixture(one, means[:1], covs[:1]),
    GaussianMixture(one, means[1:], covs[1:]),
)
sizes = np.geomspace(0.03, 6, 7)
figure, axes = plt.subplots(figsize=(5.6, 3.6))
for colour, method in zip(COLOURS, (euler_maruyama, sra1), strict=False):
    errors = []
    for noise in (0.0, *sizes):
        sde = forward_sde(gauss.velocity, gauss.score, float(noise))
        out = affine_law(sde, method, np.linspace(0, 1, 25).tolist(), means[0], covs[0])
        errors.append(float(gaussian_w2(*out, means[1], covs[1])))
    axes.loglog(sizes, errors[1:], "o-", color=colour, label=method.name)
    axes.axhline(errors[0], color=colour, ls=":")
    best = int(np.argmin(errors))
    print(f"{method.name}: W2 {errors[0]:.2g} without noise, least {errors[best]:.2g}")
axes.set(xlabel="ε", ylabel="W2", title="24 steps (dotted: ε = 0)")
axes.legend()
plt.show()

# %% [markdown]
# ## 4. A wrong drift
#
# If the drift is wrong by $e(x, u)$, then with $g = \nabla\log q - \nabla\log\rho$
#
# $$\frac{d}{du} KL(\rho\,|\,q) = E_\rho[g\cdot e] - \varepsilon E_\rho|g|^2
#   \le \frac{E_\rho|e|^2}{4\varepsilon} .$$
#
# The noise eats the error. For the ODE ($\varepsilon = 0$) the right-hand side is empty: a small
# $e$ promises nothing. An error of the score enters as $\varepsilon e_s$, so that the *bound* is
# least in between:

# %%
wrong_b, wrong_s = np.array([0.4, 0.0]), np.array([0.0, 0.4])
sizes = np.geomspace(0.05, 6, 6)
costs = [drift_cost(gauss, same_error(0.0, wrong_b + e * wrong_s, 2), e) for e in sizes]
ode = drift_cost(gauss, same_error(0.0, wrong_b, 2), 0.0)
figure, axes = plt.subplots(figsize=(5.6, 3.6))
axes.loglog(sizes, [c.bound for c in costs], "s-", color=COLOURS[1], label="bound")
axes.loglog(sizes, [c.kl for c in costs], "o-", color=COLOURS[0], label="KL of the SDE")
axes.axhline(ode.kl, color=COLOURS[2], ls="--", label="KL of the ODE")
axes.set(xlabel="ε", ylabel="KL", title="Velocity and score wrong by constants")
axes.legend()
plt.show()
print(f"identity off by {max(abs(c.kl - c.identity) for c in (ode, *costs)):.0e}")

# %% [markdown]
# ## 5. The energy of a path
#
# Flow matching often takes the straight path $x_u = u x_1 + (1 - u) x_0$. It minimises the
# energy of what training sees, $E|x_1 - x_0|^2$. The energy of the *marginal* velocity, which the
# sampler meets, is another thing. For data $N(0, b^2)$ and a normal start:

# %%
widths = np.geomspace(0.1, 3, 21)
ways = {"straight": kinetic.straight, "trigonometric": kinetic.trigonometric}
figure, axes = plt.subplots(figsize=(5.6, 3.6))
for colour, (name, way) in zip(COLOURS, ways.items(), strict=False):
    rows = [kinetic.marginal_energy(way, *kinetic.gaussian_mmse([b * b])) for b in widths]
    axes.plot(widths, rows, color=colour, label=name)
axes.plot(widths, (1 - widths) ** 2, color="black", ls=":", label="W2 squared, the least")
axes.set(xlabel="b", ylabel="energy", title="Straight is not always best")
axes.legend()
plt.show()

# %% [markdown]
# ## 6. Learning the field
#
# The velocity is the minimiser of $E[\tfrac12|f|^2 - \dot x_u\cdot f]$. Near the ends $\dot\gamma$
# is large, and the pair $\pm z$ cancels its noise. Variance of the objective of one sample:

# %%
pairs = path.sample(4000, seed=1)
z = torch.randn(4000, 1, dtype=F64, generator=torch.Generator().manual_seed(2))
for u in (0.1, 0.001, 0.00001):
    draws = Draws(*pairs, z, torch.full((4000,), u, dtype=F64))
    spread = [
        float(
            objective(
                lambda y, _u: 2 + torch.cos(y), path.interpolant, draws, antithetic=both
            ).var()
        )
        for both in (False, True)
    ]
    print(f"u = {u:<8g} plain {spread[0]:10.3g}   pairs {spread[1]:.3g}")

# %%
field = learn_field(path.interpolant, *path.sample(20_000, seed=5), steps=500, seed=1)
figure, places = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True, layout="constrained")
for axes, u in zip(places, (0.2, 0.5, 0.8), strict=True):
    near = x[path.law(u).log_density(x) > -5]
    axes.plot(near, path.velocity(near, u), color="black", label="exact")
    axes.plot(near, field(near, u), color=COLOURS[1], ls="--", label="learned")
    axes.set(title=f"velocity at u = {u}", xlabel="x")
places[0].legend()
plt.show()

# %% [markdown]
# ## Exercise
#
# The equation below is meant to run from the last law to the first, in the clock $r = 1 - u$. It
# was made by turning the sign of the whole forward drift, and its variance does not arrive. Which
# sign is wrong?


# %%
def drift(y, r):
    u = 1 - r
    return -(gauss.velocity(y, u) + 0.5 * gauss.score(y, u))


def check(name, f):
    """Moments at the end by 200 steps, exactly."""
    sde = forward_sde(f, lambda y, _r: 0 * y, 0.5)  # the noise of epsilon = 1/2, no more drift
    out = affine_law(sde, sra1, np.linspace(0, 1, 201).tolist(), means[1], covs[1])
    gap = float(gaussian_w2(*out, means[0], covs[0]))
    print(f"{name}: W2 {gap:.1e}: {'well done' if gap < 1e-3 else 'another law'}")


check("as it stands", drift)

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]
check("the answer", lambda y, r: -gauss.velocity(y, 1 - r) + 0.5 * gauss.score(y, 1 - r))

# %% [markdown]
# **What to remember.** The coefficients choose the way, the noise chooses the paths, neither
# changes the ends. The ODE is any diffusion sampler's business; the SDE forgives a wrong drift, at
# the price of steps. And time reversal turns the velocity, never the score.

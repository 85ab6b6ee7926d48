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
# # Reverse-time SDEs: noise on the way, and what it is good for
#
# A diffusion model can be sampled by an ODE, or by an SDE that adds noise while it removes noise.
# Both end in the same law. Between them lies a whole family, and two different numbers are called
# $\eta$ in it. "Order" splits in two as well: how fast the *law* of the samples becomes right
# (weak), and how fast each *path* does (strong).
#
# In under a minute, without a network:
#
# 1. one family of SDEs, and the same law at the end of each;
# 2. two etas that are often taken for one;
# 3. noise that belongs to a cell of time: one Brownian path for every grid;
# 4. weak and strong order, without a single random number;
# 5. what the noise is good for: it forgets a wrong start;
# 6. an exercise that checks itself.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.gaussian_path import eigenbasis, marginal, prior, transition
from fokker.analysis.law import output_law, weak_error
from fokker.analysis.strong import strong_error
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.solvers.grids import uniform_lam
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.plan import Tape
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models import problem

torch.set_num_threads(1)
plt.style.use(STYLE)

line = problem("line")  # one coordinate, three modes, an exact model
process = line.process
grids = uniform_lam(process, -3.0, 3.0)
begin, end = grids.grid(1).nodes


def starts(n, seed=0):
    eps = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return begin.alpha * line.law.sample(n, seed=seed) + begin.sigma * eps


def ticks(axes, steps):
    axes.set_xticks(steps, [str(n) for n in steps])
    axes.minorticks_off()


# %% [markdown]
# ## 1. One family
#
# In the clock $\lambda = \log(\alpha/\sigma)$, which grows while we sample,
#
# $$dx = \Big[\frac{d\log\alpha}{d\lambda}\,x - (1+\eta)\,\sigma\,\varepsilon(x, \lambda)\Big]
#   d\lambda + \sqrt{2\eta}\;\sigma\, dW_\lambda .$$
#
# The noise that is put in is taken out again by the extra drift. $\eta = 0$ is the
# probability-flow ODE, $\eta = 1$ the reverse SDE of the paper of Song et al. (2021). The paths
# look quite different, the law at each level does not depend on $\eta$ at all.

# %%
etas = (0.0, 0.25, 1.0, 4.0)
fine = grids.grid(300)
model = line.model("data")
figure, places = plt.subplots(1, 4, figsize=(12, 3.2), sharey=True, layout="constrained")
for axes, colour, eta in zip(places, COLOURS, etas, strict=False):
    plan = get("sde_dpmpp_2m")(process, fine, eta=eta)
    seen = run(plan, model, starts(1).expand(5, 1), noise=1, save_at=range(301)).saved
    paths = torch.cat([seen[k] for k in range(301)], 1)
    axes.plot([node.lam for node in fine.nodes], paths.T, color=colour, lw=0.7)
    axes.set(title=f"η = {eta:g}", xlabel="lam")
places[0].set_ylabel("five paths from one start")
plt.show()

# %% [markdown]
# Five paths from one start: for the ODE they are one path. Now many starts, and the law at the
# end. The density of the data at that level is known, so the histograms have something to be
# compared with. The number printed is the largest distance of the distribution functions (of
# 4000 samples, 0.03 would be remarkable).

# %%
many = 4000
at = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64)[:, None]
density = line.law.log_density(at, end.alpha, end.sigma).exp().numpy()
truth = np.cumsum(density) * float(at[1] - at[0])
figure, places = plt.subplots(1, 4, figsize=(12, 2.8), sharey=True, layout="constrained")
for axes, colour, eta in zip(places, COLOURS, etas, strict=False):
    plan = get("sde_dpmpp_2m")(process, grids.grid(100), eta=eta)
    x = np.sort(run(plan, model, starts(many), noise=2).x[:, 0].numpy())
    axes.hist(x, bins=60, density=True, color=colour, alpha=0.5)
    axes.plot(at[:, 0], density, color="black", lw=0.9)
    away = np.abs(np.searchsorted(x, at[:, 0].numpy()) / many - truth).max()
    axes.set(title=f"η = {eta:g}", xlabel="x at the end")
    print(f"eta {eta:<5g} distance of the distribution functions {away:.3f}")
plt.show()

# %% [markdown]
# ## 2. Two etas
#
# DDIM has a parameter $\eta$ too: the noise of a step is $\eta\,\sigma_t\sqrt{1 - e^{-2h}}$, a
# *fraction* of what ancestral sampling (DDPM) draws. In the family above a step of length $h$
# draws $\sigma_t\sqrt{1 - e^{-2\eta h}}$. For small steps the first is $\eta_{\rm ddim}\sqrt{2h}$
# and the second $\sqrt{2\eta h}$: so $\eta = \eta_{\rm ddim}^2$, in the limit only. They agree at
# 0 and at 1. A setting copied from one sampler to the other means something else:

# %%
both = np.linspace(0.0, 1.0, 41)
figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, h in zip(COLOURS, (0.1, 0.5, 1.5), strict=False):
    axes.plot(both, both * math.sqrt(-math.expm1(-2 * h)), color=colour, ls="--")
    axes.plot(both, np.sqrt(-np.expm1(-2 * both * h)), color=colour, label=f"h = {h:g}")
axes.set(xlabel="eta", ylabel="noise of a step / σ", title="SDE (solid), DDIM (dashed)")
axes.legend()
plt.show()
for h in (1.5, 0.5, 0.1, 0.01):
    ddim = 0.5 * math.sqrt(-math.expm1(-2 * h))
    same = -math.log1p(-(ddim**2)) / (2 * h)
    print(f"h = {h:<5g} eta_ddim = 0.5 draws the noise of eta = {same:.4f}")

# %% [markdown]
# ## 3. Noise that belongs to a cell
#
# To ask whether a path converges one needs *the same* Brownian path on a coarse and on a fine
# grid. Here a sampler does not call a generator: it names a cell of time, and a source of noise
# answers. `CellNoise` is a function of (seed, sample, cell). It follows that a sample is the same
# in any batch:

# %%
plan = get("ancestral")(process, grids.grid(20))
whole = run(plan, model, starts(8), noise=CellNoise(5)).x
part = run(plan, model, starts(8)[6:], noise=CellNoise(5, sample_ids=[6, 7])).x
print("the same in another batch:", torch.equal(whole[6:], part))

# %% [markdown]
# `GridPath` is one Brownian path on a finest grid. The increment over a coarse cell is, by
# definition, the sum over its fine cells. So every nested grid sees the same path, and the
# samples close like a fan:

# %%
finest = 1024
path = GridPath([node.lam for node in grids.grid(finest).nodes], seed=12)
figure, axes = plt.subplots(figsize=(7.2, 3.8))
for colour, steps in zip((*COLOURS[:4], "black"), (4, 8, 16, 64, finest), strict=True):
    grid = grids.grid(steps)
    seen = run(
        get("ancestral")(process, grid), model, starts(1), noise=path, save_at=range(steps + 1)
    ).saved
    values = [float(seen[k]) for k in range(steps + 1)]
    width = 0.6 if steps == finest else 1.3
    axes.plot([node.lam for node in grid.nodes], values, color=colour, lw=width, label=str(steps))
axes.set(xlabel="lam", ylabel="x", title="One path, more and more steps")
axes.legend(title="steps")
plt.show()

# %%
counts = [16, 32, 64, 128, 256]
x0 = starts(128)
best = run(get("sde_sra1")(process, grids.grid(finest)), model, x0, noise=path).x
figure, axes = plt.subplots(figsize=(5.8, 3.8))
for colour, name in zip(COLOURS, ("ancestral", "sde_dpmpp_2m", "sde_sra1"), strict=False):
    gaps = []
    for n in counts:
        out = run(get(name)(process, grids.grid(n)), model, x0, noise=path).x
        gaps.append(float((out - best).square().mean().sqrt()))
    slope = math.log2(gaps[-2] / gaps[-1])
    axes.loglog(counts, gaps, "o-", color=colour, label=f"{name}: {slope:.2f}")
    print(f"{name:13s} last slope {slope:.2f}")
other = [run(get("ancestral")(process, grids.grid(n)), model, x0, noise=n).x for n in counts]
gaps = [float((out - best).square().mean().sqrt()) for out in other]
axes.loglog(counts, gaps, "--", color="grey", label="another path for each grid")
ticks(axes, counts)
axes.set(xlabel="steps", ylabel="distance to the finest grid", title="Strong convergence")
axes.legend()
plt.show()

# %% [markdown]
# The dashed line is what happens when every grid draws noise of its own: nothing converges,
# although each of those samplers is fine. It is the usual way to "test" a stochastic sampler.
#
# ## 4. Weak and strong order, without random numbers
#
# On Gaussian data every prediction is affine. Then a sampler is a linear map of its start and its
# noises, so the mean and the variance of its output are exact numbers, and so is the distance to
# the SDE on the same path (Itô's isometry: an integral of a squared difference of kernels). No
# samples, no error bars:

# %%
cloud = problem("gaussian")
law = eigenbasis(cloud.law)
lams = uniform_lam(process, cloud.lam_start, cloud.lam_end)
names = {
    "ancestral": "ancestral (DDPM)",
    "euler_maruyama": "Euler-Maruyama",
    "sde_dpmpp_2m": "SDE-DPM-Solver++(2M)",
    "sde_sra1": "SRA1",
    "sde_weak3": "weak 3",
}
many_steps = [32, 64, 128, 256, 512]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for colour, (name, title) in zip(COLOURS, names.items(), strict=False):
    entry = get(name)
    plans = [entry(process, lams.grid(n)) for n in many_steps]
    weak = [weak_error(plan, law, eta=1.0).var for plan in plans]
    strong = [strong_error(plan, law, eta=1.0, process=process).rms for plan in plans]
    left.loglog(many_steps, weak, "o-", color=colour, label=title)
    right.loglog(many_steps, strong, "o-", color=colour, label=title)
    slopes = [math.log2(row[-2] / row[-1]) for row in (weak, strong)]
    declared = f"declared {entry.weak:g} and {entry.strong:g}"
    print(f"{title:22s} weak {slopes[0]:.2f}, strong {slopes[1]:.2f}; {declared}")
for axes, title in ((left, "Weak: error of the variance"), (right, "Strong: error of the path")):
    ticks(axes, many_steps)
    axes.set(xlabel="steps", title=title)
left.legend()
plt.show()

# %% [markdown]
# Two orders of one sampler differ: 2M has weak order 2 and strong order 1. One normal number a
# step and coordinate cannot do better, whatever the weights; SRA1 and its kin draw a second one,
# for the area between the path and its chord. Both show strong slope 2 here where 1.5 is
# declared: on Gaussian data the model is linear, and the terms that keep them at 1.5 vanish. What
# a Gaussian cannot see, one must look for elsewhere.
#
# ## 5. What the noise is good for
#
# Samplers start from $N(0, I)$, which is not quite the law of the noised data. On Gaussian data
# the error of the mean, in units of the true width $S = \sqrt{\alpha^2c^2+\sigma^2}$, shrinks from
# $s$ to $t$ by
#
# $$\Big(\frac{S_t/\alpha_t}{S_s/\alpha_s}\Big)^{\eta} ,$$
#
# so the ODE keeps it and the SDE forgets it. To see it we start far too late, at
# $\lambda = -1.5$:

# %%
late = process.node_at_lam(-1.5)
along = np.linspace(-1.5, 3.0, 60)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")


def widths_off(eta, lam):
    node = process.node_at_lam(lam)
    have, want = transition(law, late, node, eta).law(prior(law, 1.0)), marginal(law, node)
    return float(np.sqrt(np.mean((have.mean - want.mean) ** 2 / want.var)))


for colour, eta in zip(COLOURS, etas, strict=False):
    left.semilogy(along, [widths_off(eta, lam) for lam in along], color=colour, label=f"η = {eta}")
    print(f"eta {eta:<5g} keeps {widths_off(eta, 3.0) / widths_off(eta, -1.5):.3g} of the error")
left.set(xlabel="lam", title="Error of the mean, in widths")
left.legend()
budget = [8, 16, 32, 64, 128, 256]
wanted = marginal(law, process.node_at_lam(3.0))
late_grids = uniform_lam(process, -1.5, 3.0)
for colour, eta in zip(COLOURS, etas, strict=False):
    rows = []
    for n in budget:
        found = output_law(
            get("sde_dpmpp_2m")(process, late_grids.grid(n), eta=eta), law, prior(law, 1.0)
        )
        off = (found.mean - wanted.mean) ** 2 + (np.sqrt(found.var) - np.sqrt(wanted.var)) ** 2
        rows.append(float(np.sqrt(off.mean())))
    right.loglog(budget, rows, "o-", color=colour)
ticks(right, budget)
right.set(xlabel="steps", title="Distance W2 with a budget of steps")
plt.show()

# %% [markdown]
# The ODE reaches its plateau and stays there: more steps do not help against a wrong start. Noise
# does, but a strong one asks for many steps. The right $\eta$ depends on the error that one has.
#
# ## 6. Exercise
#
# The sampler below is meant to be the first-order step of the reverse SDE,
#
# $$x_t = e^{-h}\frac{\sigma_t}{\sigma_s}x_s + \alpha_t(1 - e^{-2h})\,D
#   + \sigma_t\,s(h)\,\xi .$$
#
# Its noise is wrong, and its samples look fine: at 512 steps the variance is off by a constant.
# Find $s(h)$ from the demand that data at a point ($D$ constant) keep the variance $\sigma^2$:
# $e^{-2h}\sigma_t^2 + \sigma_t^2 s(h)^2 = \sigma_t^2$.


# %%
def noise_scale(h):
    return math.sqrt(-math.expm1(-h))


def sde_1(process, grid, scale=noise_scale):  # noqa: ARG001 - the step needs the grid alone
    tape = Tape()
    x = tape.input("x", grid[0])
    for s, t in grid.steps():
        h = t.lam - s.lam
        d = tape.eval(x, s, "data")
        xi = tape.noise("lam", s.lam, t.lam)
        x = tape.lin(
            (x, math.exp(-h) * t.sigma / s.sigma),
            (d, -t.alpha * math.expm1(-2 * h)),
            (xi, t.sigma * scale(h)),
        )
        tape.mark(x, t)
    return tape.plan(x=x)


def check(name, scale):
    errors = [
        weak_error(sde_1(process, lams.grid(n), scale), law, eta=1.0).var for n in (256, 512)
    ]
    slope = math.log2(errors[0] / errors[1])
    verdict = "weak order 1, well done" if abs(slope - 1) < 0.1 else "it does not converge"
    print(f"{name}: error {errors[1]:.1e}, slope {slope:.2f}: {verdict}")


check("as it stands", noise_scale)

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]
check("the answer", lambda h: math.sqrt(-math.expm1(-2 * h)))

# %% [markdown]
# **What to remember.** A stochastic sampler has two orders, and says nothing about either by
# looking fine. Couple the grids by one path, or compute the law exactly. And say which $\eta$.

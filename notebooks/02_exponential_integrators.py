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
# # Exponential integrators: what DDIM makes exact, and what comes after
#
# The probability-flow ODE of a diffusion model has two parts. One is linear and known exactly:
# how the schedule shrinks signal and noise. The other is the network. Euler's method treats both
# alike. *Exponential integrators* solve the linear part exactly and approximate the network only.
# DDIM is the first of them; DPM-Solver, DEIS and UniPC are the next.
#
# This notebook, in under a minute and without a network or a download:
#
# 1. splits the ODE, and writes Euler and its exponential twin in ten lines each;
# 2. looks at what is exact, and finds that this is not always the smaller error;
# 3. raises the order with functions $\varphi_k$, and measures it;
# 4. compares data and noise prediction, and the two kinds of weights in print;
# 5. ends with an exercise that checks itself.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.paired import FlowProblem, rms, sample
from fokker.analysis.testing import as_sampler, assert_order
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.solvers.grids import uniform_lam
from fokker.solvers.quadrature import phi
from fokker.solvers.registry import get
from fokker.solvers.samplers.multistep import multistep
from fokker.solvers.schedules import VPLinear
from fokker.toy_models import Gaussian, problem

torch.set_num_threads(1)
plt.style.use(STYLE)

# %% [markdown]
# ## 1. The split
#
# In the clock $\lambda = \log(\alpha/\sigma)$ and with the data prediction $D$ the ODE is
#
# $$\frac{d}{d\lambda}\,\frac{x}{\sigma} = e^{\lambda}\, D(x, \lambda).$$
#
# That is all: $x/\sigma$ moves by the network's output, weighted by $e^\lambda$. Over a step of
# length $h$ from $s$ to $t$
#
# $$x_t = \frac{\sigma_t}{\sigma_s}\,x_s + \alpha_t \int_0^h e^{-(h-r)}\, D(\lambda_s + r)\, dr .$$
#
# *Hold $D$ still* and the integral is $1 - e^{-h}$: exponential Euler. It is DDIM. Plain Euler
# instead multiplies the whole right-hand side of $dx/d\lambda = a\,x + \sigma e^{\lambda} D$ by
# $h$, the linear part as well.


# %%
def plain_euler(model, x, grid):
    for s, t in grid.steps():
        h = t.lam - s.lam
        linear = -(s.alpha**2)  # d log sigma / d lam on a variance-preserving process
        x = x + h * (linear * x + s.alpha * model(x, s.t))
    return x


def exponential_euler(model, x, grid):
    for s, t in grid.steps():
        h = t.lam - s.lam
        x = t.sigma / s.sigma * x - t.alpha * math.expm1(-h) * model(x, s.t)
    return x


process = VPLinear()
plane = FlowProblem("product", problem("product").law, process, lam_start=-1.5, lam_end=1.5)
start, truth = plane.starts(), plane.flow(plane.starts(), *plane.ends())
grids = uniform_lam(process, plane.lam_start, plane.lam_end)


def error(sampler, steps):
    entry = as_sampler(sampler)
    out = sample(entry, plane.model(entry.prediction), process, grids.grid(steps), start)
    return rms(out - truth)


same = error(exponential_euler, 10) - error("ddim", 10)
print(f"exponential Euler minus DDIM, 10 steps: {same:.1e}")

# %% [markdown]
# ## 2. One step
#
# For data at a single point $D$ is constant, and exponential Euler is exact for a step of any
# length: there is nothing left to approximate. Plain Euler is not, and its error grows with $h$.
# Below: one step of length $h$ on data at the point 0.7, both starts the same.

# %%
lengths = np.linspace(0.05, 3.0, 40)
one_step: dict[str, list[float]] = {"plain Euler": [], "exponential Euler": []}
for h in lengths:
    s, t = process.node_at_lam(-1.0), process.node_at_lam(-1.0 + h)
    step = uniform_lam(process, s.lam, t.lam).grid(1)
    x = torch.tensor([[s.alpha * 0.7 + s.sigma * 1.3]], dtype=torch.float64)
    exact = t.alpha * 0.7 + t.sigma * 1.3
    for name, f in (("plain Euler", plain_euler), ("exponential Euler", exponential_euler)):
        got = f(lambda y, _: torch.full_like(y, 0.7), x, step)
        one_step[name].append(max(abs(float(got) - exact), 1e-17))

figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, (name, values) in zip(COLOURS, one_step.items(), strict=False):
    axes.semilogy(lengths, values, color=colour, label=name)
axes.set(xlabel="length of the step in lam", ylabel="error", title="One step, constant data")
axes.legend()
plt.show()
print(f"worst of the exponential one: {max(one_step['exponential Euler']):.1e}")

# %% [markdown]
# That is one side. Data are not a point: a Gaussian of width $c = 1$ has, on a
# variance-preserving process, an ODE that stands still, and plain Euler is exact *there*. So the
# splitting is a bet on the data: narrow data, many of whose pixels are nearly known, are on the
# side of DDIM; wide data are not. Ten steps on $N(0, c^2)$, for each width:

# %%
widths = np.geomspace(0.02, 1.0, 25)
by_width: dict[str, list[float]] = {"plain Euler": [], "exponential Euler": []}
for c in widths:
    one = torch.ones(1, dtype=torch.float64)
    law = Gaussian.from_eigen(0.7 * one, torch.eye(1, dtype=torch.float64), one * c**2)
    line = FlowProblem("line", law, process, lam_start=-1.5, lam_end=3.0)
    x, end = line.starts(), line.flow(line.starts(), *line.ends())
    ten = uniform_lam(process, -1.5, 3.0).grid(10)
    for name, f in (("plain Euler", plain_euler), ("exponential Euler", exponential_euler)):
        by_width[name].append(rms(f(line.model("data"), x, ten) - end))

figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, (name, values) in zip(COLOURS, by_width.items(), strict=False):
    axes.loglog(widths, values, color=colour, label=name)
axes.set(xlabel="width of the data", ylabel="error of 10 steps", title="A bet on the data")
axes.legend()
plt.show()
better = [c for c, a, b in zip(widths, *by_width.values(), strict=True) if b < a]
print(f"exponential Euler is better at widths up to {max(better):.2f}")

# %% [markdown]
# ## 3. More order: the functions $\varphi_k$
#
# Replace "hold $D$ still" by "follow the polynomial through the last $k$ outputs". The integrals
# of $e^{-(h-r)} r^k$ are the functions
#
# $$\varphi_1(z) = \frac{e^z - 1}{z},\qquad \varphi_{k+1}(z) = \frac{\varphi_k(z) - 1/k!}{z}.$$
#
# Near $z = 0$ the recursion cancels; that is why there is one place for it, and tests. With two
# outputs the method is the exponential Adams-Bashforth method of order 2 (DPM-Solver++(2M) up to
# its choice of weights), with three of order 3.

# %%
for z in (-1e-8, -1e-4, -1.0):
    naive = ((math.exp(z) - 1) / z - 1) / z
    print(f"phi_2({z:g}): recursion {naive:.12g}, by series {float(phi(2, z)):.12g}")

# %%
counts = [8, 16, 32, 64, 128]
table = {
    "plain Euler": plain_euler,
    "exponential Euler": exponential_euler,
    "exponential AB2": "exp_ab2_data",
    "exponential AB3, RK start": "exp_ab3_data_rkstart",
}
figure, axes = plt.subplots(figsize=(5.6, 3.8))
for colour, (name, sampler) in zip(COLOURS, table.items(), strict=False):
    errors = [error(sampler, n) for n in counts]
    slope = math.log2(errors[-2] / errors[-1])
    axes.loglog(counts, errors, "o-", color=colour, label=f"{name}: slope {slope:.2f}")
    print(f"{name:27s} slope {slope:.2f}, error at 32 steps {errors[2]:.1e}")
axes.set_xticks(counts, [str(n) for n in counts])
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="error against the exact flow", title="The order of the zoo")
axes.legend()
plt.show()

# %% [markdown]
# ## 4. What is held still matters
#
# The same algebra works for the noise prediction: then $x/\alpha$ moves by $\varepsilon$, weighted
# by $e^{-\lambda}$. The order is the same, the constants are not. And there are two kinds of
# weights in print: the exact integrals, and those of DPM-Solver++(2M), which replace one integral
# by its midpoint value. Both are of order 2.

# %%
twins = {
    "data, exact weights": "exp_ab2_data",
    "data, midpoint weights (2M)": "dpmpp_2m",
    "noise, exact weights": "exp_ab2_noise",
}
figure, axes = plt.subplots(figsize=(5.6, 3.6))
for colour, (name, sampler) in zip(COLOURS, twins.items(), strict=False):
    errors = np.array([error(sampler, n) for n in counts])
    axes.semilogx(counts, errors * np.array(counts) ** 2, "o-", color=colour, label=name)
    print(
        f"{name:28s} order {get(sampler).order}, N^2 x error -> {errors[-1] * counts[-1] ** 2:.2f}"
    )
axes.set_xticks(counts, [str(n) for n in counts])
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="error x steps^2", title="Same order, other constants")
axes.legend()
plt.show()

# %% [markdown]
# ## 5. Exercise
#
# The function below uses the last two outputs to follow $D$, but it follows it to the *end* of
# the step; its order is 1. `assert_order` says so. Change the two numbers so that the value in
# the *middle* of the step is used, and it is of order 2. (The answer, 1.5 and -0.5, is right for
# equal steps only. On a smooth grid it is of order 2 all the same, since neighbouring steps
# differ by a factor $1 + O(h)$: step ratios first matter at order 3, which is why iPNDM, which
# ignores them, ends at 2.)


# %%
def two_outputs(model, x, grid, new_weight=2.0, old_weight=-1.0):
    old = None
    for s, t in grid.steps():
        h = t.lam - s.lam
        new = model(x, s.t)
        mixed = new if old is None else new_weight * new + old_weight * old
        x = t.sigma / s.sigma * x - t.alpha * math.expm1(-h) * mixed
        old = new
    return x


def answer(model, x, grid):
    return two_outputs(model, x, grid, new_weight=1.5, old_weight=-0.5)


def with_real_ratios(process, grid):
    return multistep(process, grid, order=2)


def check(name, sampler):
    try:
        assert_order(sampler, 2, laws=["gaussian"], grids=["wavy-lam"])
        print(f"{name}: order 2, well done")
    except AssertionError as reason:
        print(f"{name}: {str(reason)[:76]} ...")


check("as it stands", two_outputs)
check("the answer", answer)
check("with the real step ratios", with_real_ratios)

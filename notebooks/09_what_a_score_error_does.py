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
# # What an error of the score does
#
# With the exact score the ODE and every SDE of the family make one law. A learned score is wrong,
# and then each of them makes a law of its own. Which one is nearer to the data? How far apart can
# they be? Sentences about this are often repeated; on Gaussians all of it can be computed without
# a sample, so here they are held against numbers.
#
# In under half a minute:
#
# 1. a score that is too large or too small, at every noise level of the sampler;
# 2. the gap between ODE and SDE, and its bound;
# 3. a score that is wrong and has no gap;
# 4. the budget of Girsanov, what it pays for, and when it is empty;
# 5. errors that no marginal sees: the same laws, other couplings;
# 6. is the SDE safer? It depends on *where* the score is wrong; an exercise that checks itself.
#
# Throughout, $\lambda = \log(\alpha/\sigma)$ runs from noise to data, $u = x/\alpha$, and
#
# $$du = (1+\eta)\,(D(u) - u)\,d\lambda + \sqrt{2\eta}\,e^{-\lambda}\,dW$$
#
# with $D$ the model's idea of the data. $\eta = 0$ is the ODE, $\eta = 1$ the reverse SDE.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.distances import gaussian_w2
from fokker.analysis.fokker_planck import linear_variance, scaled_score_variance
from fokker.analysis.gauge import gauged_denoiser, linear_parts, stirred_flow
from fokker.analysis.score_error import (
    evolve,
    exact_denoiser,
    noised,
    score_budget,
    with_error,
)
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.toy_models.gaussian import Gaussian

torch.set_num_threads(1)
plt.style.use(STYLE)


def law(mean, cov):
    return Gaussian(
        torch.tensor(mean, dtype=torch.float64), torch.tensor(cov, dtype=torch.float64)
    )


data = law([0.5, -1.0], [[1.3, 0.4], [0.4, 0.3]])
span = (-2.5, 2.5)

# %% [markdown]
# ## 1. Ten per cent
#
# Multiply the exact score of $N(0, c^2)$ by $1 + \delta$, and start an exploding process from the
# noisy variance $V_T$. The variance that arrives is, with $L = \log(V_T/c^2)$ and
# $b = \eta + \delta(1 + \eta)$,
#
# $$V = c^2\left[e^{-bL} + \eta\,\frac{1 - e^{-bL}}{b}\right].$$
#
# The ODE's is $c^2 (c^2/V_T)^\delta$: the same ten per cent cost more, the longer the way. The SDE
# forgets: its error is about $-\delta\,(1+\eta)/\eta$ of the variance, whatever the span.

# %%
widths = np.geomspace(1, 1e4, 40)
figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, eta in zip(COLOURS, (0.0, 0.3, 1.0, 3.0), strict=False):
    found = [scaled_score_variance(1.0, 1.0 + v, 0.1, eta) for v in widths]
    axes.semilogx(widths, found, color=colour, label=f"η = {eta:g}")
axes.axhline(1.0, color="black", lw=0.8, ls=":")
axes.set(xlabel="variance of the noise", ylabel="variance made", title="Score 10 % too large")
axes.legend()
plt.show()

# %% [markdown]
# The same with another clock: $f = -1$, $g = 1$ for a time of 4, data $N(0, 0.2)$. The numbers to
# remember: 10 % too large makes 0.082 by the ODE and 0.167 by the SDE; 10 % too small 0.488 and
# 0.250.

# %%


def noisy_variance(t):
    return 0.5 + (0.2 - 0.5) * math.exp(-2 * t)


for factor in (1.0, 1.1, 0.9):
    ode, sde = (
        linear_variance(
            lambda _: -1.0, lambda _: 1.0, lambda t, k=factor: k / noisy_variance(t), eta,
            start=noisy_variance(4.0), span=(4.0, 0.0),
        )
        for eta in (0.0, 1.0)
    )  # fmt: skip
    print(f"score times {factor}: ODE {ode:.5f}, SDE {sde:.5f}, truth 0.2")

# %% [markdown]
# ## 2. The gap and its bound
#
# The SDE's own law $q$ is also made by an ODE, with $\nabla\log q$ in place of the noise. The two
# ODEs differ by how far the model is from the score of *its own SDE*. Integrated with the growth
# of distances this is a bound of the $W_2$ of the two laws, in terms of the model alone:
#
# $$W' = L\,W + \eta\,\|D(u) - u - e^{-2\lambda}\nabla\log q\|_{L^2(q)} .$$

# %%
sizes = np.geomspace(0.01, 1, 7)
push = np.array([[0.1, 0.25], [-0.15, -0.2]])
figure, axes = plt.subplots(figsize=(5.6, 3.4))
for colour, eta in zip(COLOURS, (0.3, 1.0, 3.0), strict=False):
    rows = [score_budget(data, with_error(exact_denoiser(data), a * push), eta, span)
            for a in sizes]  # fmt: skip
    axes.loglog(sizes, [r.gap for r in rows], "o-", color=colour, label=f"η = {eta:g}")
    axes.loglog(sizes, [r.gap_bound for r in rows], "--", color=colour)
    loose = [r.gap_bound / r.gap for r in rows]
    print(f"eta = {eta:g}: the bound is {min(loose):.1f} to {max(loose):.1f} times the gap")
axes.set(xlabel="size of the error", ylabel="W2", title="ODE against SDE (dashed: bound)")
axes.legend()
plt.show()

# %% [markdown]
# ## 3. Wrong, without a gap
#
# The bound is zero where the model is the score of its own law. That law need not be the data's.
# A model that believes in another Gaussian has a Fokker-Planck residual of zero, no gap, and a
# bias. Agreement of ODE and SDE certifies nothing about the data:

# %%
belief = law([0.2, -0.8], [[1.0, 0.0], [0.0, 0.5]])
for eta in (0.0, 1.0):
    found = score_budget(data, exact_denoiser(belief), eta, span, start=noised(belief, span[0]))
    print(f"eta = {eta:g}: gap {found.gap:.0e}, distance to the data {found.w2:.2f}")

# %% [markdown]
# ## 4. Girsanov's budget
#
# For $\eta > 0$ the divergence of the law made from the right one is at most
#
# $$KL \le \int \frac{(1+\eta)^2}{4\eta}\,e^{2\lambda}\,E|D - D_{exact}|^2\,d\lambda,$$
#
# which is the divergence of whole *paths*. It is least at $\eta = 1$, infinite for the ODE, and a
# bound: what the error feeds in, the noise of later steps eats again.

# %%
wrong = with_error(exact_denoiser(data), push, [0.3, -0.2])
fine = np.geomspace(0.03, 30, 13)
rows = [score_budget(data, wrong, eta, span) for eta in fine]
figure, axes = plt.subplots(figsize=(5.6, 3.4))
axes.loglog(fine, [r.girsanov for r in rows], "s--", color=COLOURS[1], label="Girsanov's budget")
axes.loglog(fine, [r.kl for r in rows], "o-", color=COLOURS[0], label="KL")
axes.set(xlabel="η", ylabel="nats", title="What is paid for, and what arrives")
axes.legend()
plt.show()
least = fine[int(np.argmin([r.girsanov for r in rows]))]
print(f"the budget is least at eta = {least:.2g}; never below the KL: "
      f"{all(r.kl <= r.girsanov for r in rows)}")  # fmt: skip

# %% [markdown]
# ## 5. Errors that no marginal sees
#
# Every field is a gradient plus a field that only stirs, $\nabla\cdot(p\,r) = 0$. Only the first
# part moves a density. On a Gaussian $r = A\,\Sigma^{-1}(x - m)$ with $A$ antisymmetric, as large
# as one likes: for $\Sigma = diag(1, 0.2)$ and a turn of 3 the mean square error is 54, and the
# laws are exact.

# %%
quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
narrow = np.diag([1.0, 0.2])
parts = linear_parts(3 * quarter @ np.linalg.inv(narrow), narrow)
print(f"E|r|^2 = {parts.stirring_energy:.6f}, of which a gradient {parts.gradient_energy:.0e}")
flat = law([0.0, 0.0], narrow.tolist())
for eta in (0.0, 1.0):
    found = score_budget(flat, gauged_denoiser(flat, 3 * quarter), eta, span)
    print(f"eta = {eta:g}: W2 to the truth {found.w2:.0e}, KL {found.kl:.0e}, "
          f"Girsanov's budget {found.girsanov:.0f}")  # fmt: skip

# %% [markdown]
# What does change is which noise becomes which datum: trajectories, couplings, and every use of a
# sampler as a map, such as editing by inversion. The same 24 starts, with and without stirring:

# %%
angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
begin = np.linalg.cholesky(noised(flat, span[0]).cov)
ring = np.stack([np.cos(angles), np.sin(angles)], 1) @ begin.T
figure, places = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
places[0].scatter(*ring.T, c=angles, cmap="twilight", s=18)
places[0].set(title="starts", aspect="equal")
for axes, c in zip(places[1:], (0.0, 3.0), strict=True):
    moved = ring @ stirred_flow(flat, c * quarter, span).T
    axes.scatter(*moved.T, c=angles, cmap="twilight", s=18)
    axes.set(title=f"ends, A = {c:g} J", aspect="equal")
plt.show()
maps = [stirred_flow(flat, c * quarter, span) for c in (0.0, 3.0)]
laws = [m @ noised(flat, span[0]).cov @ m.T for m in maps]
print(f"covariances of the ends differ by {np.abs(laws[0] - laws[1]).max():.0e}, "
      f"the maps by {np.abs(maps[0] - maps[1]).max() / np.abs(maps[0]).max():.0%}")  # fmt: skip

# %% [markdown]
# ## 6. Is the SDE safer?
#
# "SDEs suffer less from a wrong score" was true in section 1. Let the score be wrong only around
# one level, and move that level from the noise to the data:

# %%
places_of_error = np.linspace(-2.0, 2.5, 10)


def bump(centre):
    return with_error(
        exact_denoiser(data), 0.0, [0.4, 0.4],
        amplitude=lambda lam: math.exp(-((lam - centre) ** 2) / 0.08),
    )  # fmt: skip


truth = noised(data, span[1])
figure, axes = plt.subplots(figsize=(5.6, 3.4))
curves = {}
for colour, eta in zip(COLOURS, (0.0, 0.3, 1.0, 3.0), strict=False):
    curves[eta] = [
        gaussian_w2(*evolve(bump(c), noised(data, span[0]), eta, span), *truth)
        for c in places_of_error
    ]
    axes.semilogy(places_of_error, curves[eta], "o-", color=colour, label=f"η = {eta:g}")
axes.set(xlabel="λ where the score is wrong", ylabel="W2", title="Early and late mistakes")
axes.legend()
plt.show()
better = [c for c, a, b in zip(places_of_error, curves[1.0], curves[0.0], strict=True) if a < b]
print(f"the SDE (eta = 1) is nearer to the data for errors before lam = {max(better):.1f}, "
      "the ODE for later ones")  # fmt: skip

# %% [markdown]
# Noise forgets what happened before it, and pulls the harder towards what the model says now:
# the drift of the SDE carries the factor $1 + \eta$. An early mistake is forgotten, a late one is
# made $1 + \eta$ times. With a constant error of $D$ on a point mass nothing is forgotten, and
# the law is off by $|e|\,(1 - e^{-(1+\eta)\,\Delta\lambda})$: the more noise, the worse.

# %%
point = law([0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]])
late = with_error(exact_denoiser(point), 0.0, [0.3, -0.4], amplitude=lambda _: 1.0)
for eta in (0.0, 1.0, 3.0):
    found = score_budget(point, late, eta, (-0.5, 0.5))
    closed = 0.5 * -math.expm1(-(1 + eta))
    print(f"eta = {eta:g}: W2 {found.w2:.4f}, closed form {closed:.4f}")

# %% [markdown]
# ## Exercise
#
# Someone measures a score, finds that its Jacobian is not symmetric, and repairs it: the matrix
# $B$ of the linear score becomes $(B + B^T)/2$. The marginals of the repaired model are worse
# than before. Which projection keeps them? (`linear_parts` takes a matrix and a covariance.)

# %%
model = gauged_denoiser(data, 0.5 * quarter)  # exact marginals, a Jacobian without symmetry


def repaired(lam):
    gain, _ = model(lam)
    pull = gain - np.eye(2)  # the score is e^{2 lam} pull (u - m)
    fixed = np.eye(2) + 0.5 * (pull + pull.T)
    return type(model(lam))(fixed, (np.eye(2) - fixed) @ data.mean.numpy())


def check(name, one):
    """Distance of the ODE's law to the truth."""
    made = evolve(one, noised(data, span[0]), 0.0, span)
    far = gaussian_w2(*made, *truth)
    print(f"{name}: W2 {far:.0e}: {'well done' if far < 1e-4 else 'another law'}")


check("not repaired", model)
check("symmetrised", repaired)

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]


def answer(lam):
    gain, _ = model(lam)
    fixed = np.eye(2) + linear_parts(gain - np.eye(2), noised(data, lam).cov).gradient
    return type(model(lam))(fixed, (np.eye(2) - fixed) @ data.mean.numpy())


check("the gradient part in L2(p)", answer)

# %% [markdown]
# **What to remember.** An error of the score is not a number but a field with a place on the way.
# Its stirring part moves no marginal. Early errors are forgiven by noise, late ones are not. The
# gap between ODE and SDE measures whether the model agrees with itself. And a bound on the KL of
# paths is a bound: sometimes of nothing at all.

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
# # Optimal transport: the cheapest way from one law to another
#
# A generative model turns noise into data, by some map. Which one? Optimal transport takes the map
# that moves mass the least: of all $T$ that turn $\rho_0$ into $\rho_1$ the one with the smallest
# $E\,|x - T(x)|^2$. Its root is a distance between laws, $W_2$, and the map is the gradient of a
# convex function (Brenier). So one can tell it when one sees it, which makes it easy to check.
#
# In half a minute, without a trained network:
#
# 1. between Gaussians: a matrix;
# 2. on a line: equal quantiles;
# 3. between clouds of points: a linear program, and a truth to hold it against;
# 4. Sinkhorn: much faster, a little blurred, and it converges at a rate that can be predicted;
# 5. from a density to points: cells;
# 6. an exercise that checks itself.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.solvers.transport.cloud_transport import transport_clouds
from fokker.solvers.transport.clouds import Cloud
from fokker.solvers.transport.discrete import discrete_transport
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian import GaussianMap
from fokker.solvers.transport.quantile_map import QuantileMap, gaussian, gaussian_mixture
from fokker.solvers.transport.semi_discrete import semi_discrete
from fokker.solvers.transport.semi_discrete_sources import Box
from fokker.solvers.transport.sinkhorn import sinkhorn
from fokker.solvers.transport.sinkhorn_relaxation import best_omega
from fokker.toy_models.brenier import DesignedMap

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
plt.style.use(STYLE)

# %% [markdown]
# ## 1. Between Gaussians
#
# The map is linear, $T(x) = m_1 + M(x - m_0)$, with the one *symmetric positive* matrix for which
# $MAM = B$. Many matrices turn $A$ into $B$ (follow one with a rotation that keeps $B$); only the
# symmetric one is a gradient, and it is the cheapest.

# %%
a = torch.tensor([[0.8, 0.3], [0.3, 0.3]])
b = torch.tensor([[0.4, -0.5], [-0.5, 1.2]])
step = GaussianMap([-2.0, 0.0], a, [1.5, 0.5], b)
print("M =\n", step.matrix.numpy().round(4))
print(f"MAM - B: {float((step.matrix @ a @ step.matrix - b).abs().max()):.0e}")
root = torch.linalg.cholesky(b)
angles = torch.linspace(-math.pi, math.pi, 121)
costs = []
for t in angles:
    turn = torch.tensor([[t.cos(), -t.sin()], [t.sin(), t.cos()]])
    other = root @ turn @ torch.linalg.inv(torch.linalg.cholesky(a))  # other A other^T = B, too
    rest = other - torch.eye(2)
    costs.append(
        float(torch.trace(rest @ a @ rest.mT) + (step.mean_b - step.mean_a).square().sum())
    )
circle = torch.stack([angles.cos(), angles.sin()])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for k, u in enumerate(np.linspace(0, 1, 7)):
    mean, cov = step.law(float(u))
    ring = mean[:, None] + torch.linalg.cholesky(cov) @ circle
    left.plot(*ring.numpy(), color=COLOURS[0] if k < 6 else COLOURS[1], lw=0.9)
left.set(title="The path of least energy", aspect="equal")
right.plot(angles, costs, color=COLOURS[0])
right.axhline(float(step.cost), color="grey", lw=0.8)
right.set(title="What linear maps from A to B cost", xlabel="angle of a rotation")
plt.show()
print(f"least cost of {len(costs)} rotations {min(costs):.4f}; W2^2 {float(step.cost):.4f}")

# %% [markdown]
# The Gaussians of the same moments bound the distance of *any* two laws from below (Gelbrich):
# transport can cost more than their map, never less. Keep that in mind when a Fréchet distance is
# used to judge images: it is this bound.
#
# ## 2. On a line
#
# A convex function's derivative increases; so on a line the map keeps the order, and there is only
# one: send each quantile to the same quantile. No optimisation is left.

# %%
target = gaussian_mixture(np.array([0.3, 0.7]), np.array([-2.0, 1.5]), np.array([0.5, 0.8]))
line = QuantileMap(gaussian(), target)
x = torch.linspace(-3, 3, 601)
figure, axes = plt.subplots(figsize=(5.6, 3.2))
axes.plot(x, line(x), color=COLOURS[0])
axes.set(title="From N(0, 1) to two modes", xlabel="x", ylabel="T(x)")
plt.show()
rng = np.random.default_rng(0)
cloud = Cloud(rng.standard_normal((4000, 1)))
image = Cloud(line(cloud.points))
print(f"W2^2 = {line.cost():.10f}; in a sample of 4000: "
      f"{transport_clouds(cloud, image, 'quantile').cost:.4f}")  # fmt: skip

# %% [markdown]
# Where the target has no mass the map must jump: it is steep between the modes. A network that is
# smooth can only smear that step, and what it smears lands between the modes.
#
# ## 3. Between clouds of points
#
# For points transport is a linear program. To know whether a solver solves it one needs a pair of
# clouds whose answer is known. Brenier's theorem gives them in any dimension: take a convex
# function, apply its gradient to any cloud. The images are optimal, for *every* finite sample.

# %%
designed = DesignedMap(torch.tensor([[1.0, 0.5], [-0.6, 1.2], [0.2, -1.0]]))
x = torch.from_numpy(rng.standard_normal((300, 2)))
y = designed(x)
shuffled = y[torch.from_numpy(rng.permutation(300))]
found = discrete_transport(x, shuffled)
known = float((y - x).square().sum(1).mean())
print(f"cost of the linear program {found.value:.12f}, of the designed map {known:.12f}")
gap = found.f[:, None] + found.g - torch.cdist(x, shuffled).square()
print(f"dual: f + g exceeds the cost by at most {float(gap.max()):.0e}")
figure, axes = plt.subplots(figsize=(4.6, 4.0))
axes.quiver(*x.T, *(y - x).T, angles="xy", scale_units="xy", scale=1, width=0.003, color="grey")
axes.plot(*x.T, "o", ms=2.5, color=COLOURS[0])
axes.plot(*y.T, "s", ms=2.5, color=COLOURS[1])
axes.set(title="No exchange of ends is cheaper", aspect="equal")
plt.show()

# %% [markdown]
# ## 4. Sinkhorn
#
# The program takes $O(n^3)$. Add a little entropy, $\langle c, P\rangle + \varepsilon\,
# \mathrm{KL}(P\,|\,a\otimes b)$, and two lines of matrix-vector products are left: mend the rows,
# mend the columns, again. The price is a blur. It goes away as $\varepsilon \to 0$, and what a
# solver found proves how far it can be off: its potentials bound the true cost from below, its
# plan from above.

# %%
first, second = Cloud(x), Cloud(shuffled)
for fraction in (0.3, 0.1, 0.03, 0.01, 0.003):
    plan = transport_clouds(first, second, fraction=fraction)
    off = float((plan.mapped - y).square().sum(1).mean().sqrt())
    print(f"epsilon {fraction:5g} of the mean: {plan.iterations:4d} iterations, "
          f"{plan.lower:.4f} <= {known:.4f} <= {plan.upper:.4f}, off by {off:.3f}")  # fmt: skip

# %% [markdown]
# How many iterations? Between Gaussians there is an answer: each one shrinks the error by
# $\rho^2$, where $\rho$ is the largest correlation of the two ends *under the plan it looks for*.
# Small $\varepsilon$ means a nearly deterministic plan, $\rho$ near 1 and patience. The remedy is
# to overshoot every correction by a factor $\omega$; the best one follows from the same $\rho$,
# and the solver finds it by watching its own error.

# %%
nodes = torch.linspace(-6, 6, 181)[:, None]
weights = torch.exp(-(nodes[:, 0] ** 2) / 2)
weights = weights / weights.sum()
shifted = torch.exp(-((nodes[:, 0] - 0.7) ** 2) / 1.4)
shifted = shifted / shifted.sum()
epsilon = 0.4
theory = EntropicGaussian([0.0], [[1.0]], [0.7], [[0.7]], epsilon)
eta = theory.sinkhorn_rates()[0]
figure, axes = plt.subplots(figsize=(6.4, 3.6))
runs = {"plain": 1.0, "overshooting": best_omega(eta), "chosen by the solver": None}
for colour, (name, omega) in zip(COLOURS, runs.items(), strict=False):
    errors: list[float] = []
    sinkhorn(
        nodes, nodes, weights, shifted, epsilon=epsilon, relaxation=omega, tolerance=1e-10,
        progress=lambda _count, error, _epsilon, errors=errors: errors.append(error),
    )  # fmt: skip
    axes.semilogy(errors, color=colour, label=name)
    print(f"{name}: {len(errors)} iterations")
    if omega == 1.0:
        seen = (errors[-1] / errors[-11]) ** 0.1
        print(f"  factor of an iteration {seen:.5f}, rho^2 = {eta:.5f}")
axes.set(title="Error of the marginals", xlabel="iteration")
axes.legend()
plt.show()

# %% [markdown]
# ## 5. From a density to points
#
# Between a density and atoms the map cuts space into cells, one for each atom, each with exactly
# the mass that its atom wants. The cells are those of Voronoi with a handicap $\psi_j$ for each
# atom, and the handicaps maximise a concave function: Newton's method takes a handful of steps.
# In a rectangle the cells are polygons, and their areas exact.

# %%
atoms = rng.uniform(0.1, 0.9, (24, 2))
wanted = np.where(atoms[:, 0] < 0.5, 3.0, 1.0)
fit = semi_discrete(Box([0.0, 0.0], [1.0, 1.0]), atoms, wanted / wanted.sum())
side = torch.linspace(0, 1, 200)
grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)
plainly = torch.cdist(grid, fit.atoms).argmin(1)
figure, places = plt.subplots(1, 2, figsize=(8.4, 4.0), layout="constrained")
for axes, (title, cells) in zip(
    places, {"nearest atom": plainly, "transport": fit.assign(grid)}.items(), strict=True
):
    shares = torch.bincount(cells, minlength=24) / len(cells)
    worst = float((shares / fit.weights - 1).abs().max())
    print(f"{title}: shares off by up to {worst:.0%}")
    axes.imshow((cells * 7 % 24).reshape(200, 200), origin="lower", extent=(0, 1, 0, 1), alpha=0.7)
    axes.scatter(*atoms.T, s=12 * wanted, color="black")
    axes.set(title=title)
plt.show()
print(f"{fit.iterations} Newton steps, marginal error {fit.marginal_error:.0e}")

# %% [markdown]
# ## 6. Exercise
#
# A colleague computes $W_2^2$ between two clouds by pairing points at random and then swapping
# two partners whenever that makes the total smaller, until no swap helps. It is quick, the result
# looks plausible, and it is not optimal: no swap of *two* helps does not mean that no cycle of
# three does. Replace `lower` by a function that proves a bound from below, for instance from the
# potentials of an entropic plan (`transport_clouds(...).lower`), and let the check decide.


# %%
def lower(_first, _second):
    return 0.0  # true, and useless


def swapped(x, y, rounds=40):
    """No exchange of two partners makes it cheaper."""
    partner = np.arange(len(x))
    cost = torch.cdist(x, y).square().numpy()
    for _ in range(rounds):
        before = partner.copy()
        for i in range(len(x)):
            now = cost[i, partner[i]] + cost[np.arange(len(x)), partner]
            then = cost[i, partner] + cost[np.arange(len(x)), partner[i]]
            j = int((then - now).argmin())
            if then[j] < now[j] - 1e-12:
                partner[[i, j]] = partner[[j, i]]
        if (partner == before).all():
            break
    return float(cost[np.arange(len(x)), partner].mean())


def check(name, bound):
    proved, claimed = bound(first, second), swapped(x, shuffled)
    tight = proved > 0.99 * known
    verdict = "well done: the swaps are proved not optimal" if (
        tight and proved < claimed and proved <= known + 1e-12
    ) else "nothing is proved yet"  # fmt: skip
    print(f"{name}: at least {proved:.4f}, the swaps claim {claimed:.4f}: {verdict}")


check("as it stands", lower)

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]
check("the answer", lambda one, two: transport_clouds(one, two, fraction=0.003).lower)

# %% [markdown]
# **What to remember.** An optimal map is a gradient, so truths can be built. A plan proves a bound
# from above and potentials prove one from below; a solver that shows both needs no faith. And the
# rate of Sinkhorn is a correlation.

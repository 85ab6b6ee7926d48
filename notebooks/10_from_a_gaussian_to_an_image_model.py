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
# # From a Gaussian to an image model
#
# A sampler is tested where the answer is known and used where it is not. What has the one to do
# with the other? Here **one Plan**, the same object with the same numbers, goes
#
# 1. to a Gaussian, where everything is known in closed form;
# 2. to a mixture in the plane, with a reference to ten digits;
# 3. to handwritten digits as an exact law in 64 dimensions;
# 4. to a network that was trained on those digits;
# 5. to a network of yours, in ten lines;
# 6. and to a GPU that need not be there. An exercise that checks itself follows.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from fokker.analysis.device_work import run_work
from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.law import output_law
from fokker.paper_figs.figure import COLOURS, STYLE
from fokker.solvers.grids import uniform_lam
from fokker.solvers.networks.network import Network
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.networks import named_network
from fokker.toy_models.problems import problem
from fokker.toy_models.reference import reference_flow

torch.set_num_threads(1)
plt.style.use(STYLE)
PROCESS, SAMPLER = VPLinear(), get("dpmpp_2m")
COUNTS = [5, 10, 20, 40, 80]
plans = {n: SAMPLER(PROCESS, uniform_lam(PROCESS, -4.0, 4.0).grid(n)) for n in COUNTS}
start, end = PROCESS.node_at_lam(-4.0), PROCESS.node_at_lam(4.0)

# %% [markdown]
# The Plan is made from a process and a grid alone. It knows of no model, no dimension, no device;
# here is the one with five steps, whole:

# %%
print(plans[5])

# %% [markdown]
# ## 1. A Gaussian: everything is known
#
# On $N(m, C)$ the data prediction is linear in $x$, so the output of the Plan is Gaussian too. Its
# law needs no samples, and neither does the error of each single path:

# %%
table: dict[str, list[float]] = {}


def errors(name, model, x, truth):
    """Median over starts of the distance to the truth (rms over coordinates), for each Plan."""
    table[name] = []
    for plan in plans.values():
        gap = run(plan, model, x).x - truth
        table[name].append(float(gap.flatten(1).square().mean(1).sqrt().median()))
    slopes = np.log2(np.array(table[name])[:-1] / np.array(table[name])[1:])
    print(f"{name:18s} errors", *(f"{e:8.1e}" for e in table[name]), "  slopes", slopes.round(2))


p = problem("gaussian")
x = p.starts(200)
truth = p.law.flow(x, (start.alpha, start.sigma), (end.alpha, end.sigma))
errors("a Gaussian", p.model(), x, truth)

data = eigenbasis(p.law)
for n, plan in plans.items():
    out = output_law(plan, data)
    wanted = end.alpha**2 * data.var + end.sigma**2
    print(f"{n:3d} steps: variances off by {np.abs(out.var / wanted - 1).max():.1e}, relative")

# %% [markdown]
# ## 2. A mixture: nonlinear, still exact
#
# A Gaussian cannot see errors of the second derivative of the model. Five components in the plane
# can. The flow has no closed form; an adaptive integration to ten digits stands for it.

# %%
p = problem("mixture")
x = p.starts(200)
truth = reference_flow(p.law, x, (start.alpha, start.sigma), (end.alpha, end.sigma)).x
errors("a mixture", p.model(), x, truth)

many = p.starts(1500)
figure, places = plt.subplots(1, 3, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
for axes, n in zip(places, (5, 10, 40), strict=True):
    out = run(plans[n], p.model(), many).x
    axes.plot(out[:, 0], out[:, 1], ".", color=COLOURS[0], ms=2)
    axes.set(title=f"{n} steps", aspect="equal")
plt.show()

# %% [markdown]
# ## 3. Digits as an exact law
#
# For each of the ten classes of scikit-learn's 8 × 8 digits, a Gaussian with its mean and
# covariance: a law of images whose best denoiser is a formula. From here on a model is a
# `Network`, exact or trained: it knows its shape, its classes and its levels of noise. The truth
# is a fine run of another sampler.

# %%
FINE = get("unipc_3")(PROCESS, uniform_lam(PROCESS, -4.0, 4.0).grid(200))
noise = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * start.sigma
for name in ("digits-mixture", "digits"):
    model = named_network(name).model(prediction="data")
    errors(name, model, noise, run(FINE, model, noise).x)

# %% [markdown]
# ## 4. A trained network
#
# The last line above is the network: 145 825 weights, trained in a few minutes on one core to
# tell noise from digits. Nothing about it is exact, and the Plan does not mind: it converges to
# *what the network says*, and as fast as on the law that the network imitates. What the network
# says wrong, no sampler mends.

# %%
figure, axes = plt.subplots(figsize=(6, 3.8))
for colour, (name, row) in zip(COLOURS, table.items(), strict=False):
    axes.loglog(COUNTS, row, "o-", color=colour, label=name)
guide = np.array(COUNTS, dtype=float)
axes.loglog(guide, 3 * guide**-2, color="black", ls=":", label="order 2")
axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="median error", title="One Plan, four models")
axes.legend()
plt.show()

# %% [markdown]
# With a class and some guidance, and a last step to $\sigma = 0$:

# %%
figure, places = plt.subplots(4, 10, figsize=(9, 3.9), layout="constrained")
labels = list(range(10)) * 2
z = noise[:20]
for half, name in enumerate(("digits-mixture", "digits")):
    network = named_network(name)
    plan = SAMPLER(PROCESS, network.grid(20))
    images = run(plan, network.model(labels, prediction="data", guidance=1.5), z).x
    for axes, image in zip(places[2 * half : 2 * half + 2].flat, images, strict=True):
        axes.imshow(image[0], cmap="gray_r", vmin=-1, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
figure.suptitle("Equal noise: above the exact mixture, below the network", fontsize=11)
plt.show()

# %% [markdown]
# A Gaussian image is a mean with smooth modes added: recognisable, never crisp. The network knows
# more of digits than their covariance.
#
# ## 5. A network of yours, in ten lines
#
# All that is needed is a function of the state, the time and the labels, and a few words about
# it. (A module that was saved is loaded by `find_network`, from a folder of ours or of diffusers;
# safetensors only, since to read a pickle is to run it.)


# %%
def call(x, t, _labels):
    """Anything: here points on a circle, the noise prediction of the nearest of 12 of them."""
    node = PROCESS.node(t)
    angles = torch.arange(12) * (2 * math.pi / 12)
    points = torch.stack([angles.cos(), angles.sin()], 1).to(x)
    near = (-(x[:, None] - node.alpha * points).square().sum(-1) / (2 * node.sigma**2)).softmax(1)
    return (x - node.alpha * near @ points) / node.sigma


mine = Network("mine", call, PROCESS, "noise", shape=(2,), lam_range=(-4.0, 4.0))
sampled = run(
    SAMPLER(PROCESS, mine.grid(25)),
    mine.model(prediction="data"),
    torch.randn(400, 2, generator=torch.Generator().manual_seed(1)),
).x
print(
    f"radii from {float(sampled.norm(dim=1).min()):.4f} to {float(sampled.norm(dim=1).max()):.4f}"
)

# %% [markdown]
# ## 6. What it would ask of a GPU
#
# No device is needed to know. On one that is imagined, tensors have a shape and no numbers; every
# call that a run would make there is made and counted, and a call for which the host would have
# to wait raises an error. A kernel takes the time of its launch or of its bytes, so the sampler's
# share of the work is at most the sum of its two shares here, on any device.

# %%
trained = named_network("digits")
for name in ("ddim", "dpmpp_2m", "unipc_3", "sde_dpmpp_2m"):
    sampler = get(name)
    plan = sampler(PROCESS, trained.grid(10))

    def on_device(work, prediction=sampler.prediction):
        return work.moved_network(trained).model(prediction=prediction)

    work = run_work(plan, on_device, shape=(64, 1, 8, 8))
    launches = sum(call.kernels.total() for call in work.calls)
    moved = sum(call.moved for call in work.calls)
    shares = work.sampler.kernels.total() / launches, work.sampler.moved / moved
    print(
        f"{name:13s} network: {launches} launches, {moved / 1e6:.0f} MB; "
        f"sampler: {shares[0]:.1%} and {shares[1]:.2%} of that"
    )

# %% [markdown]
# This network is small. Beside one that fills a GPU a sampler is about a hundredth; the bench
# `launches` counts it for networks of published sizes, beside the loops of another library.
#
# ## Exercise
#
# Somebody saved this network and forgot to note what it predicts: `"data"`, `"noise"`,
# `"velocity"` or `"flow"`. A wrong guess raises no error: it samples, and makes images of
# nothing. Which is it? A hint: where nearly all is noise, the best prediction of the data is
# their mean.

# %%
secret = named_network("digits").model(prediction="velocity")


def found(x, t, _labels):
    return secret(x, t)


def check(guess):
    """The data prediction at the noisiest level, if the network predicted that."""
    network = Network("found", found, PROCESS, guess, shape=(1, 8, 8), lam_range=(-4.0, 4.0))
    with torch.no_grad():
        images = network.model(prediction="data")(noise, start.t).flatten(1)
    gap = float((images - problem("digits-mixture").law.mean).square().mean().sqrt())
    print(f"{guess}: off the mean by {gap:.2g}: {'well done' if gap < 0.15 else 'not it'}")


check("noise")

# %% [markdown]
# A solution follows; try first.

# %% tags=["solution"]
check("velocity")

# %% [markdown]
# **What to remember.** A Plan is tested on laws and used on networks without a change. Its order
# belongs to it, its constant to the model. And a model is more than a function: what it predicts,
# at which levels, belongs with it.

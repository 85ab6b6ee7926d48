"""Networks of diffusers are asked as their own library asks them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fokker.solvers.discrete import DiscreteVP
from fokker.solvers.grids import Grid, grid_from_times
from fokker.solvers.networks.diffusers_call import arranged
from fokker.solvers.networks.diffusers_networks import from_diffusers
from fokker.solvers.networks.diffusers_training import training_of
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.process import DATA
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, VE, RectifiedFlow
from small_diffusers import (
    CROSS,
    DIT,
    PIXART,
    PLAIN,
    POOLED,
    SD3,
    SMALL,
    TEXTS,
    X,
    made,
    pipeline,
    refused,
    time_of,
)

diffusers = pytest.importorskip("diffusers")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("no_gradients")]


@pytest.mark.parametrize("index", [0, 1, 417, 998, 999])
def test_a_level_of_the_table_is_the_call_that_the_library_makes(
    saved: Path, unet: Any, index: int
):
    network = from_diffusers(saved)
    out = network.model()(X, time_of(network, index))
    assert torch.equal(out, unet(X, index).sample)
    assert (network.prediction, network.shape, network.classes) == ("noise", (2, 8, 8), 0)
    assert network.name == "pipe"


def test_between_two_levels_the_network_is_told_the_time_between(saved: Path, unet: Any):
    network = from_diffusers(saved)
    out = network.model()(X, 0.25 * (time_of(network, 10) * 3 + time_of(network, 11)))
    assert torch.allclose(out, unet(X, torch.tensor(10.25)).sample, atol=1e-5)
    assert not torch.allclose(out, unet(X, 10).sample, atol=1e-5)


def test_a_network_of_whole_times_is_told_the_nearest_one_and_says_so(tmp_path: Path):
    config = {**SMALL, **PLAIN, "time_embedding_type": "learned", "num_train_timesteps": 1000}
    module = made("UNet2DModel", config)
    network = from_diffusers(pipeline(tmp_path, module, diffusers.DDPMScheduler()))
    out = network.model()(X, 0.3 * time_of(network, 10) + 0.7 * time_of(network, 11))
    assert torch.equal(out, module(X, 11).sample)
    assert network.model()(X, 1e-5).isfinite().all()  # below the first level: the first one
    assert network.about["time"] == "the nearest whole number is told"


@pytest.mark.parametrize("steps", [4, 10])
@pytest.mark.parametrize(
    ("prediction", "ours"),
    [("epsilon", "noise"), ("v_prediction", "velocity"), ("sample", "data")],
)
def test_our_ddim_gives_what_the_loop_of_the_library_gives(
    tmp_path: Path, unet: Any, prediction: str, ours: str, steps: int
):
    scheduler = diffusers.DDIMScheduler(
        prediction_type=prediction, clip_sample=False, beta_schedule="squaredcos_cap_v2",
        timestep_spacing="trailing" if prediction != "epsilon" else "leading",
    )  # fmt: skip
    network = from_diffusers(pipeline(tmp_path, unet, scheduler))
    assert network.prediction == ours
    scheduler.set_timesteps(steps)
    x = X
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t).sample, t, x).prev_sample
    times = [time_of(network, int(t)) for t in scheduler.timesteps]
    if int(scheduler.timesteps[-1]) == 0:
        grid = grid_from_times(network.process, times).with_zero()
    else:
        grid = Grid((*(network.process.node(t) for t in times), DATA))
    sampler = get("ddim")
    model = network.model(prediction=sampler.prediction)
    out = run(sampler(network.process, grid), model, X).x
    torch.testing.assert_close(out, x, rtol=1e-5, atol=1e-5)
    assert float((x - X).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"beta_schedule": "linear"}, {"beta_start": 1e-4, "beta_end": 0.02}),
        ({"beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.01}, {}),
        ({"beta_schedule": "squaredcos_cap_v2"}, {}),
        ({"trained_betas": [0.1, 0.2, 0.3]}, {}),
    ],
)
def test_the_levels_are_those_of_the_schedulers(config: dict[str, Any], told: dict[str, Any]):
    scheduler = diffusers.DDIMScheduler(**config, **told)
    process = training_of(dict(scheduler.config)).process
    assert isinstance(process, DiscreteVP)
    found = process.alpha(process.level_time(np.arange(process.levels))) ** 2
    np.testing.assert_allclose(found, scheduler.alphas_cumprod.double(), rtol=1e-12)


def test_zero_terminal_noise_is_left_out_of_the_range_and_can_still_be_asked():
    config = {"beta_schedule": "linear", "rescale_betas_zero_snr": True}
    training = training_of({**config, "prediction_type": "v_prediction"})
    assert isinstance(training.process, DiscreteVP)
    assert training.process.zero_terminal
    assert training.lam_range[0] == float(training.process.lam(0.999))
    assert math.isfinite(training.lam_range[0])
    assert training.shown(1.0) == (1.0, 999.0)


@pytest.mark.parametrize(
    ("config", "process", "prediction", "t", "shown", "sign"),
    [
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
            *(RectifiedFlow(), "flow", 0.25, (1.0, 250.0), 1.0),
        ),
        (
            {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
            *(RectifiedFlow(), "flow", 0.5, (1.0, 500.0), 1.0),
        ),
        (
            {"_class_name": "EDMEulerScheduler", "sigma_max": 40.0, "sigma_data": 0.5},
            *(EDM(40.0), "edm", 0.5, (2**0.5, 0.25 * math.log(0.5)), 1.0),
        ),
        (
            {"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"},
            *(EDM(), "edm", 1.0, (0.8**0.5, 0.0), -1.0),
        ),
        (
            {"_class_name": "ScoreSdeVeScheduler", "sigma_min": 0.01, "sigma_max": 100.0},
            *(VE(0.01, 100.0), "score", 0.5, (1.0, 1.0), 1.0),
        ),
    ],
    ids=["flow", "flow-sigmas", "edm", "edm-v", "ve"],
)  # fmt: skip
def test_every_kind_of_scheduler_tells_process_prediction_and_time(
    config: Any, process: Any, prediction: str, t: float, shown: tuple[float, float], sign: float
):
    training = training_of(config)
    assert (training.process, training.prediction, training.sign) == (process, prediction, sign)
    assert training.shown(t) == pytest.approx(shown, abs=1e-12)
    low, high = training.lam_range
    assert process.lam_min <= low < high <= process.lam_max


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_an_edm_network_gives_the_data_that_the_scheduler_makes_of_it(
    tmp_path: Path, unet: Any, prediction: str
):
    scheduler = diffusers.EDMEulerScheduler(prediction_type=prediction)
    network = from_diffusers(pipeline(tmp_path, unet, scheduler))
    for sigma in (0.05, 1.0, 30.0):
        s = torch.tensor(sigma)
        told = scheduler.precondition_noise(s)
        out = unet(scheduler.precondition_inputs(X, s), told.reshape(1)).sample
        wanted = scheduler.precondition_outputs(X, out, s)
        data = network.model(prediction="data")(X, sigma)
        torch.testing.assert_close(data, wanted, rtol=1e-4, atol=1e-4)


def test_a_network_of_scores_is_told_sigma(tmp_path: Path):
    module = made("UNet2DModel", {**SMALL, **PLAIN, "time_embedding_type": "fourier"})
    scheduler = diffusers.ScoreSdeVeScheduler(sigma_max=50.0)
    network = from_diffusers(pipeline(tmp_path, module, scheduler))
    t = 0.4
    sigma = float(network.process.sigma(t))
    assert torch.equal(network.model()(X, t), module(X, torch.tensor(sigma)).sample)
    noise = network.model(prediction="noise")(X, t)
    torch.testing.assert_close(noise, -sigma * module(X, torch.tensor(sigma)).sample)


def test_classes_are_told_as_they_are_and_without_a_null_row_there_is_no_guidance(tmp_path: Path):
    module = made("UNet2DModel", {**SMALL, **PLAIN, "num_class_embeds": 3})
    folder = pipeline(tmp_path, module, diffusers.DDPMScheduler())
    network = from_diffusers(folder)
    t, labels = time_of(network, 500), torch.tensor([2, 0])
    assert network.classes == 3
    wanted = module(X, 500, class_labels=labels).sample
    assert torch.equal(network.model(labels)(X, t), wanted)
    with pytest.raises(NetworkError, match="without a class"):
        network.model(labels, guidance=2.0)
    other = from_diffusers(folder, null=0)  # the labels of the others close the gap
    assert other.classes == 2
    assert torch.equal(other.model([1, 2])(X, t), wanted)
    guided = other.model([1, 0], guidance=3.0)(X, t)
    ones = [module(X, 500, class_labels=torch.tensor(y)).sample for y in ([2, 1], [0, 0])]
    torch.testing.assert_close(guided, ones[1] + 3 * (ones[0] - ones[1]), rtol=1e-4, atol=1e-4)


def test_a_dit_has_a_null_class_and_its_variance_is_cut_off(tmp_path: Path):
    module = made("DiTTransformer2DModel", DIT)
    scheduler = diffusers.DDIMScheduler()
    folder = pipeline(tmp_path, module, scheduler, "transformer")
    network = from_diffusers(folder)
    assert (network.classes, network.shape) == (5, (2, 8, 8))
    assert network.about["learned_variance"] == "cut off"
    labels = torch.tensor([4, 5])
    out = network.model(labels)(X, time_of(network, 300))
    times = torch.tensor([300, 300])
    assert torch.equal(out, module(X, timestep=times, class_labels=labels).sample[:, :2])
    config = json.loads((folder / "transformer" / "config.json").read_text())
    old = {**config, "_class_name": "Transformer2DModel", "norm_type": "ada_norm_zero"}
    (folder / "transformer" / "config.json").write_text(json.dumps(old))
    again = from_diffusers(folder)
    assert torch.equal(again.model(labels)(X, time_of(network, 300)), out)


def test_a_text_is_bound_to_a_sample_as_a_class_is(tmp_path: Path):
    module = made("UNet2DConditionModel", {**SMALL, **CROSS})
    folder = pipeline(tmp_path, module, diffusers.DDIMScheduler())
    network = from_diffusers(folder, conditions={"encoder_hidden_states": TEXTS}, null=2)
    t = time_of(network, 200)
    wanted = module(X, 200, encoder_hidden_states=TEXTS[[1, 0]]).sample
    assert torch.equal(network.model([1, 0])(X, t), wanted)
    empty = module(X, 200, encoder_hidden_states=TEXTS[[2, 2]]).sample
    guided = network.model([1, 0], guidance=7.5)(X, t)
    torch.testing.assert_close(guided, empty + 7.5 * (wanted - empty), rtol=1e-4, atol=1e-4)
    assert "give conditions with a row for each: ['encoder_hidden_states']" in refused(folder)


def test_further_conditions_go_where_the_network_takes_them(tmp_path: Path):
    extra = {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 5 + 3 * 4,
    }  # fmt: skip
    module = made("UNet2DConditionModel", {**SMALL, **CROSS, **extra})
    folder = pipeline(tmp_path, module, diffusers.EulerDiscreteScheduler())
    ids = torch.tensor([[8, 8, 0], [8, 4, 0], [4, 4, 0]])
    given = {"encoder_hidden_states": TEXTS, "text_embeds": POOLED, "time_ids": ids}
    network = from_diffusers(folder, conditions=given, null=2)
    added = {"text_embeds": POOLED[[0, 1]], "time_ids": ids[[0, 1]]}
    wanted = module(X, 7, encoder_hidden_states=TEXTS[[0, 1]], added_cond_kwargs=added).sample
    assert torch.equal(network.model([0, 1])(X, time_of(network, 7)), wanted)


def test_a_pixart_takes_texts_and_its_variance_is_cut_off(tmp_path: Path):
    module = made("PixArtTransformer2DModel", PIXART)
    folder = pipeline(tmp_path, module, diffusers.DPMSolverMultistepScheduler(), "transformer")
    network = from_diffusers(folder, conditions={"encoder_hidden_states": TEXTS})
    out = network.model([2, 1])(X, time_of(network, 30))
    times = torch.tensor([30, 30])
    wanted = module(X, encoder_hidden_states=TEXTS[[2, 1]], timestep=times).sample[:, :2]
    assert torch.equal(out, wanted)


def test_a_flow_transformer_is_told_a_thousand_times_its_time(tmp_path: Path):
    module = made("SD3Transformer2DModel", SD3)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    folder = pipeline(tmp_path, module, scheduler, "transformer")
    given = {"encoder_hidden_states": TEXTS, "pooled_projections": POOLED}
    network = from_diffusers(folder, conditions=given, null=0)
    assert (network.process, network.prediction) == (RectifiedFlow(), "flow")
    wanted = {k: v[[1, 2]] for k, v in given.items()}
    out = network.model([0, 1])(X, 0.25)
    assert torch.equal(out, module(X, timestep=torch.tensor([250.0, 250.0]), **wanted).sample)
    scheduler.set_timesteps(5)
    x = X
    for t in scheduler.timesteps:  # the scheduler is Euler in t
        answer = module(x, timestep=t.expand(2), **wanted).sample
        x = scheduler.step(answer, t, x).prev_sample
    nodes = [network.process.node(float(s)) for s in scheduler.sigmas[:-1]]
    grid = Grid((*nodes, DATA))
    sampler = get("ddim")  # on a flow it is Euler's method in t
    model = network.model([0, 1], prediction=sampler.prediction)
    out = run(sampler(network.process, grid), model, X).x
    torch.testing.assert_close(out, x, rtol=1e-5, atol=1e-5)


def test_conditions_have_a_row_for_each_label():
    for tables, null in (
        ({"a": torch.ones(2), "b": torch.ones(3)}, None),
        ({"a": torch.tensor(1.0)}, None),
        ({"a": torch.ones(2)}, 2),
        ({"a": torch.ones(1)}, 0),
    ):
        with pytest.raises(NetworkError, match="row"):
            arranged(tables, null)
    rows, classes, has_null = arranged({"a": torch.arange(4), "b": torch.arange(4) * 2}, 1)
    assert (rows["a"].tolist(), rows["b"].tolist()) == ([0, 2, 3, 1], [0, 4, 6, 2])
    assert (classes, has_null) == (3, True)

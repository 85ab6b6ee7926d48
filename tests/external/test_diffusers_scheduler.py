"""A plan as a scheduler of diffusers gives the sample of `run`, in any pipeline's loop."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import pytest
import torch

from fokker.solvers.adapters.diffusers_steps import GeneratorNoise
from fokker.solvers.errors import FokkerError, InvalidPlanError
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fokker.solvers.adapters.diffusers_scheduler import FokkerScheduler

LAW = problem("product").law
WORDS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity"}


def network(scheduler, prediction="noise"):
    """The exact model as a network of diffusers: asked with a time label."""
    process, count = scheduler.steps.process, scheduler.config.num_train_timesteps
    flow = scheduler.config.prediction_type == "flow_prediction"
    model = exact_model(LAW, process, prediction)

    def ask(x, t):
        time = float(t) / count if flow else (float(t) + 1.0) / count
        return model(x, min(time, 1.0))

    return ask


def pipeline(scheduler, x, steps, generator=None):
    """What every pipeline of diffusers does."""
    words = {**WORDS, "flow_prediction": "flow"}
    ask = network(scheduler, words[scheduler.config.prediction_type])
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        shown = scheduler.scale_model_input(x, t)
        x = scheduler.step(ask(shown, t), t, x, generator=generator).prev_sample
    return x


def direct(scheduler, x, generator=None):
    grid, entry = scheduler.steps.grid, get(scheduler.config.sampler)
    plan = entry(scheduler.steps.process, grid)
    model = exact_model(LAW, scheduler.steps.process, entry.prediction)
    return run(plan, model, x, noise=GeneratorNoise(generator)).x


def start(seed=0):
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PLAIN = [s.name for s in samplers("plan") if s.name in {
    "ddim", "dpmpp_2m", "dpm_solver_3", "unipc_3", "edm_heun", "pndm", "lms", "rho_rk4", "o_belm",
    "exp_ab3_data_rkstart", "dpmpp_2s",
}]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_the_loop_of_a_pipeline_gives_the_sample_of_run(name):
    s, x = FokkerScheduler(sampler=name), start()
    steps = 6 + -6 % get(name).multiple
    got = pipeline(s, x, steps)
    torch.testing.assert_close(got, direct(s, x), rtol=1e-5, atol=1e-5)  # float32 labels
    assert len(s.timesteps) == get(name)(s.steps.process, s.steps.grid).nfe


@pytest.mark.parametrize("name", ["ancestral", "sde_dpmpp_2m", "edm_churn"])
def test_a_stochastic_plan_draws_from_the_generator(name):
    s, x = FokkerScheduler(sampler=name, timestep_spacing="trailing"), start()
    seeds = [torch.Generator().manual_seed(5) for _ in range(3)]
    got = pipeline(s, x, 8, seeds[0])
    near = 1e-6 if s.timesteps.is_floating_point() else 1e-10  # churned levels: float32 labels
    torch.testing.assert_close(got, direct(s, x, seeds[1]), rtol=near, atol=near)
    assert torch.equal(got, pipeline(s, x, 8, seeds[2]))
    assert not torch.equal(got, pipeline(s, x, 8, seeds[2]))


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_at_integer_timesteps_nothing_is_rounded(spacing):
    s, x = FokkerScheduler(sampler="dpmpp_2m", timestep_spacing=spacing, steps_offset=1), start()
    got = pipeline(s, x, 7)
    assert s.timesteps.dtype == torch.int64
    torch.testing.assert_close(got, direct(s, x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["sample", "v_prediction", "flow_prediction"])
def test_every_prediction_of_a_network_is_taken(kind):
    s, x = FokkerScheduler(sampler="dpmpp_2m", prediction_type=kind), start()
    torch.testing.assert_close(pipeline(s, x, 8), direct(s, x), rtol=2e-5, atol=2e-5)


def test_a_flow_may_start_at_pure_noise_with_a_shift():
    s = FokkerScheduler(
        sampler="dpmpp_2m", prediction_type="flow_prediction", timestep_spacing="trailing", shift=3
    )
    x = start()
    got = pipeline(s, x, 8)
    assert s.steps.grid[0].alpha == 0.0
    torch.testing.assert_close(got, direct(s, x), rtol=2e-5, atol=2e-5)


def test_zero_terminal_snr_starts_at_alpha_0():
    s = FokkerScheduler(
        sampler="dpmpp_2m", prediction_type="v_prediction", timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )  # fmt: skip
    x = start()
    got = pipeline(s, x, 8)
    assert s.steps.grid[0].alpha == 0.0
    torch.testing.assert_close(got, direct(s, x), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_the_levels_are_those_of_the_table_of_diffusers(schedule, zero_snr):
    diffusers: Any = pytest.importorskip("diffusers")
    DDIMScheduler = diffusers.DDIMScheduler
    config = {"beta_schedule": schedule, "rescale_betas_zero_snr": zero_snr}
    table = DDIMScheduler(**config).alphas_cumprod.double()
    process = FokkerScheduler(**config).steps.process
    ours = torch.tensor([process.node((i + 1) / 1000).alpha ** 2 for i in range(1000)])
    torch.testing.assert_close(ours, table, rtol=1e-3, atol=1e-6, check_dtype=False)


def test_a_flow_is_shifted_as_in_diffusers():
    diffusers: Any = pytest.importorskip("diffusers")
    FlowMatchEulerDiscreteScheduler = diffusers.FlowMatchEulerDiscreteScheduler
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    s = FokkerScheduler(
        sampler="ddim", prediction_type="flow_prediction", timestep_spacing="trailing", shift=3
    )
    s.set_timesteps(4)
    mine = torch.tensor([n.sigma for n in s.steps.grid.nodes], dtype=torch.float64)
    torch.testing.assert_close(mine, theirs.sigmas.double(), rtol=1e-5, atol=1e-6)


def test_one_step_and_many_are_finite():
    for steps in (1, 2, 5, 7, 100):
        assert torch.isfinite(pipeline(FokkerScheduler(sampler="dpmpp_2m"), start(), steps)).all()


def test_the_first_order_plan_is_the_ddim_of_diffusers():
    diffusers: Any = pytest.importorskip("diffusers")
    DDIMScheduler = diffusers.DDIMScheduler
    theirs = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    s, x = FokkerScheduler.from_config(theirs.config, sampler="ddim"), start()
    got = pipeline(s, x, 10)
    theirs.set_timesteps(10)
    assert s.timesteps.tolist() == theirs.timesteps.tolist()
    ask = network(s)
    for t in theirs.timesteps:
        x = theirs.step(ask(x, t), t, x).prev_sample
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)  # their table is float32


def test_a_run_may_begin_in_the_middle():
    s, x = FokkerScheduler(sampler="dpmpp_2m", timestep_spacing="trailing"), start()
    s.set_timesteps(8)
    ask, y = network(s), x
    for t in s.timesteps[3:]:
        y = s.step(ask(y, t), t, y).prev_sample
    part = s.steps.grid.part(3, 8)
    plan = get("dpmpp_2m")(s.steps.process, part)
    want = run(plan, exact_model(LAW, s.steps.process, "data"), x).x
    torch.testing.assert_close(y, want, rtol=1e-10, atol=1e-12)


def test_a_state_that_is_changed_between_two_steps_is_the_one_that_goes_on():
    s, x = FokkerScheduler(sampler="ddim", timestep_spacing="trailing"), start()
    s.set_timesteps(4)
    ask, y = network(s), x
    for i, t in enumerate(s.timesteps):
        y = s.step(ask(y, t), t, y).prev_sample
        y = y + 1.0 if i == 1 else y
    # of a first-order plan the rest is a run of its own
    first = FokkerScheduler(sampler="ddim", timestep_spacing="trailing")
    first.set_timesteps(4)
    z = x
    for t in first.timesteps[:2]:
        z = first.step(ask(z, t), t, z).prev_sample
    rest = get("ddim")(s.steps.process, s.steps.grid.part(2, 4))
    want = run(rest, exact_model(LAW, s.steps.process, get("ddim").prediction), z + 1.0).x
    torch.testing.assert_close(y, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "evaluations"),
    [("ddim", 1), ("unipc_3", 1), ("edm_heun", 2), ("dpmpp_2s", 2), ("rho_kutta3", 3),
     ("rho_rk4", 4)],
)  # fmt: skip
def test_a_pipeline_that_begins_in_the_middle_counts_in_steps(name, evaluations):
    """As image to image does: ``timesteps[k order:]``, with and without a begin index."""
    s, steps, skipped = FokkerScheduler(sampler=name), 6, 4
    s.set_timesteps(steps)
    assert s.order == evaluations
    rest = s.timesteps[skipped * s.order :]
    ask, x = network(s), start()
    grid = s.steps.grid.part(skipped, steps)
    whole = run(
        get(name)(s.steps.process, grid),
        exact_model(LAW, s.steps.process, get(name).prediction),
        x,
    ).x
    for begin in (None, skipped * s.order):
        s.set_timesteps(steps)
        if begin is not None:
            s.set_begin_index(begin)
        y = x
        for t in rest:
            y = s.step(ask(y, t), t, y).prev_sample
        torch.testing.assert_close(y, whole, rtol=2e-5, atol=2e-5)


def test_a_start_that_is_not_repeated_in_the_middle_is_refused_with_the_reason():
    s = FokkerScheduler(sampler="exp_ab3_data_rkstart")
    s.set_timesteps(12)
    with pytest.raises(InvalidPlanError, match="its own start asks at other timesteps"):
        s.step(start(), s.timesteps[6], start())


@pytest.mark.parametrize("steps", [61, 103, 995])
def test_a_trailing_grid_has_the_steps_that_were_asked_for(steps):
    s = FokkerScheduler(sampler="ddim", timestep_spacing="trailing")
    s.set_timesteps(steps)
    assert len(s.timesteps) == steps
    assert float(s.timesteps[-1]) == round(1000 / steps) - 1


@pytest.mark.parametrize("kind", ["Euler", "Heun"])
def test_a_scheduler_of_flows_is_taken_for_one(kind):
    diffusers: Any = pytest.importorskip("diffusers")
    other = getattr(diffusers, f"FlowMatch{kind}DiscreteScheduler")(shift=3.0)
    s = FokkerScheduler.from_config(other.config, sampler="ddim", timestep_spacing="trailing")
    assert isinstance(s.steps.process, RectifiedFlow)
    assert (s.config.prediction_type, s.config.shift) == ("flow_prediction", 3.0)
    multistep = diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
    )
    assert FokkerScheduler.from_config(multistep.config).config.shift == 3.0
    assert FokkerScheduler.from_config(multistep.config, shift=2.0).config.shift == 2.0
    again = FokkerScheduler.from_config(s.config)
    assert again.config.prediction_type == "flow_prediction"


@pytest.mark.parametrize(
    "name",
    ["EDMEulerScheduler", "CosineDPMSolverMultistepScheduler", "ScoreSdeVeScheduler",
     "CMStochasticIterativeScheduler"],
)  # fmt: skip
def test_a_scheduler_without_betas_is_not_given_the_default_ones(name):
    diffusers: Any = pytest.importorskip("diffusers")
    config = getattr(diffusers, name)().config
    with pytest.raises(FokkerError, match="has no beta_schedule: its networks are of another"):
        FokkerScheduler.from_config(config)
    s = FokkerScheduler.from_config(config, beta_schedule="linear")  # who knows it may say so
    assert s.config.beta_schedule == "linear"


@pytest.mark.parametrize("steps", [0, -3, 5.0, None, True, "5"])
def test_a_number_of_steps_that_is_none_is_refused_as_it_was_given(steps):
    with pytest.raises(FokkerError, match=f"whole number, at least 1, got {steps!r}"):
        FokkerScheduler().set_timesteps(steps)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_goes_on_where_the_scheduler_was(how):
    s, x = FokkerScheduler(sampler="dpmpp_2m"), start()
    ask = network(s)
    s.set_timesteps(5)
    x = s.step(ask(x, s.timesteps[0]), s.timesteps[0], x).prev_sample
    twin = how(s)
    a, b = x, x
    for t in s.timesteps[1:]:
        a, b = (c.step(ask(y, t), t, y).prev_sample for c, y in ((s, a), (twin, b)))
    assert torch.equal(a, b)
    twin.set_timesteps(7)
    assert len(twin.timesteps) == 7


def test_betas_of_another_number_are_refused():
    with pytest.raises(FokkerError, match=r"3 trained_betas are given for .* = 1000"):
        FokkerScheduler(trained_betas=[0.1, 0.2, 0.3])
    s = FokkerScheduler(trained_betas=[0.1, 0.2, 0.3], num_train_timesteps=3)
    one = torch.ones(1, 1, dtype=torch.float64)
    assert float(s.add_noise(one, 0 * one, 2)) == pytest.approx((0.9 * 0.8 * 0.7) ** 0.5)


@pytest.mark.parametrize("label", [1000, 5000, -2, math.nan])
def test_no_noise_is_added_at_a_timestep_beyond_the_table(label):
    x = start()
    with pytest.raises(FokkerError, match="beyond the 1000 of num_train_timesteps"):
        FokkerScheduler().add_noise(x, x, label)


def test_noise_is_added_to_samples_of_its_shape():
    x = start()
    for noise, labels in ((x, torch.arange(3)), (x[:1], torch.tensor([5]))):
        with pytest.raises(FokkerError, match="do not fit samples"):
            FokkerScheduler().add_noise(x, noise, labels)


def test_a_step_is_taken_at_one_timestep():
    s, x = FokkerScheduler(sampler="ddim"), start()
    s.set_timesteps(4)
    with pytest.raises(InvalidPlanError, match="at one timestep, got"):
        s.step(x, s.timesteps[:2], x)
    assert s.step(x, s.timesteps[:1].expand(len(x)), x).prev_sample.shape == x.shape


def test_a_rounded_sample_does_not_round_the_state_of_the_run():
    """From answers that are exact for what is shown, the float32 state stays near the truth."""
    s = FokkerScheduler(sampler="ddim")
    x = start().to(torch.bfloat16)
    ask, y = network(s), x
    s.set_timesteps(40)
    for t in s.timesteps:
        y = s.step(ask(y.double(), t), t, y).prev_sample
    exact = pipeline(FokkerScheduler(sampler="ddim"), x.double(), 40)
    assert float((s.steps.state - exact).abs().max()) < 0.004


def test_half_precision_samples_keep_a_float32_state():
    s, x = FokkerScheduler(sampler="dpmpp_2m", timestep_spacing="trailing"), start()
    half = pipeline_of(torch.float16, s, x)
    assert half.dtype == torch.float16
    assert s.steps.state.dtype == torch.float32


def pipeline_of(dtype, scheduler, x):
    ask = network(scheduler)
    scheduler.set_timesteps(6)
    x = x.to(dtype)
    for t in scheduler.timesteps:
        x = scheduler.step(ask(x.double(), t).to(dtype), t, x, return_dict=False)[0]
    return x


def test_noise_is_added_at_the_level_of_the_label():
    s, x = FokkerScheduler(), start()
    noise, at = start(1), torch.tensor([0, 10, 500, 999])
    got = s.add_noise(x, noise, at)
    bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[at]
    want = bar.sqrt()[:, None] * x + (1 - bar).sqrt()[:, None] * noise
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_the_configuration_makes_a_round_trip(tmp_path):
    s = FokkerScheduler(sampler="edm_churn", sampler_options={"churn": 10.0}, shift=2.0)
    s.save_config(tmp_path)
    back = FokkerScheduler.from_pretrained(tmp_path)
    again = FokkerScheduler.from_config(s.config)
    for other in (back, again):
        assert {k: v for k, v in other.config.items() if not k.startswith("_")} == {
            k: v for k, v in s.config.items() if not k.startswith("_")
        }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"sampler": "dpmpp_2n"}, "nearest"),
        ({"sampler": "dpmpp_12_adaptive"}, "owns its loop"),
        ({"prediction_type": "score"}, "unknown prediction_type 'score'"),
        ({"beta_schedule": "sine"}, "unknown beta_schedule 'sine'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config, said):
    with pytest.raises(FokkerError, match=said):
        FokkerScheduler(**config)


def test_steps_out_of_order_are_refused():
    s, x = FokkerScheduler(sampler="dpmpp_2m", timestep_spacing="trailing"), start()
    with pytest.raises(FokkerError, match="call set_timesteps"):
        s.step(x, 999, x)
    s.set_timesteps(4)
    with pytest.raises(FokkerError, match="cannot start at the timestep 7"):
        s.step(x, 7, x)
    y = s.step(x, s.timesteps[0], x).prev_sample
    with pytest.raises(FokkerError, match="the next timestep of the plan is 749, got 499"):
        s.step(x, s.timesteps[2], y)
    with pytest.raises(FokkerError, match="differ"):
        s.step(x[:2], s.timesteps[1], y)


def test_a_real_pipeline_with_a_small_network_runs_on_it():
    diffusers: Any = pytest.importorskip("diffusers")
    DDIMScheduler = diffusers.DDIMScheduler
    DDPMPipeline = diffusers.DDPMPipeline
    UNet2DModel = diffusers.UNet2DModel
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(8, 8), down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    s = FokkerScheduler(sampler="ddim", timestep_spacing="leading")
    images = {}
    for name, scheduler in (
        ("ours", s), ("theirs", DDIMScheduler(clip_sample=False)),
        ("two", FokkerScheduler(sampler="rho_midpoint")),
    ):  # fmt: skip
        pipe = DDPMPipeline(unet=unet, scheduler=scheduler)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(1)
        images[name] = pipe(
            batch_size=2, generator=generator, num_inference_steps=4, output_type="np"
        ).images
    assert images["ours"].shape == (2, 8, 8, 3)
    assert abs(images["ours"] - images["theirs"]).max() < 1e-4
    assert abs(images["two"] - images["ours"]).max() > 1e-4

"""Along the path: tools that are no samplers, what each is known to keep, and where it is shown.

A sampler claims orders, and the certificate measures them. What transforms a plan or a model, runs
a plan backwards, edits a given sample or differentiates through one claims something else: an
identity, or an order of its own. Such a function is declared here with the one property that its
test pins down. The table is data; a test looks every entry up, with its source and its test.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tool:
    """A public function and the property that it is measured for.

    Attributes
    ----------
    place : str
        Module and name, below ``fokker.solvers``.
    source : str
        Authors, year and arXiv id of what it does.
    keeps : str
        The property, as a half sentence.
    measured : str
        The unit test that shows it, ``folder/file::name``.
    figure : str
        The figure that draws it; empty for none.
    """

    place: str
    source: str
    keeps: str
    measured: str
    figure: str = ""

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.place.rpartition(".")[2]

    def function(self) -> Callable[..., Any]:
        """The function itself; imports its module."""
        module, _, name = self.place.rpartition(".")
        return getattr(importlib.import_module(f".{module}", __package__), name)


TOOLS: tuple[Tool, ...] = (
    # back to the noise, and edits
    Tool(
        "editing.inversion.invert_and_regenerate", "Zhang, Lewis & Kleijn 2024, arXiv:2307.10829",
        "with one model, the data to rounding",
        "solvers/test_inversion::test_inverted_and_regenerated_by_one_model_data_stay_as_they_are",
        "reversible",
    ),
    Tool(
        "editing.inversion.ddim_inversion", "Song, Meng & Ermon 2021, arXiv:2010.02502",
        "the data to O(h) after the round trip, not better",
        "solvers/test_inversion::test_ddim_inversion_is_wrong_by_the_size_of_a_step", "reversible",
    ),
    Tool(
        "editing.noise_maps.edit_friendly",
        "Huberman-Spiegelglas, Kulikov & Michaeli 2024, arXiv:2304.06140",
        "the data to rounding when run with its maps",
        "solvers/test_editing::test_sampling_with_the_maps_gives_the_data_back", "edit_friendly",
    ),
    Tool(
        "editing.noise_maps.infedit", "Xu et al. 2024, arXiv:2312.04965",
        "the data bit for bit where source and target are one model",
        "solvers/test_editing::test_an_edit_without_a_difference_returns_the_data_bit_for_bit",
    ),
    Tool(
        "editing.noise_maps.ddcm", "Xu et al. 2024, arXiv:2312.04965",
        "nothing of the state but the data prediction",
        "solvers/test_editing::test_a_step_of_ddcm_has_all_of_its_noise_new",
    ),
    Tool(
        "samplers.local_sde.local_sde", "Mou et al. 2024, arXiv:2402.02583",
        "the ODE outside of its mask, where coordinates are independent, bit for bit",
        "solvers/test_local_sde::"
        "test_outside_of_the_mask_independent_coordinates_are_the_ode_bit_for_bit",
    ),
    Tool(
        "samplers.local_sde.time_travel", "Lugmayr et al. 2022, arXiv:2201.09865",
        "the marginals, and it takes back the bias of guidance",
        "solvers/test_guidance_bias::test_time_travel_takes_back_the_bias_of_guidance_on_gaussians",
        "guidance",
    ),
    Tool(
        "editing.realtime.real_time", "Duan, Yin & Kragic 2025, arXiv:2508.05396",
        "kappa = alpha c/S of an error in each cycle",
        "solvers/test_realtime::test_the_contraction_is_that_of_renoising_and_the_exact_flow",
        "realtime",
    ),
    # gradients
    Tool(
        "gradients.checkpointing.checkpointed", "Chen et al. 2016, arXiv:1604.06174",
        "the gradient of backpropagation bit for bit, memory like the root of the steps",
        "solvers/test_gradients_by_parts::"
        "test_checkpointed_gradients_are_those_of_backpropagation_bit_for_bit", "gradients",
    ),
    Tool(
        "gradients.reversible_gradient.reversible_sample", "Chen et al. 2024, arXiv:2403.17006",
        "the gradient of backpropagation to rounding, constant memory",
        "solvers/test_gradients_by_parts::test_gradients_by_reversal_are_those_of_backpropagation",
        "gradients",
    ),
    Tool(
        "gradients.adjoint.adjoint_sample",
        "Pan, Liew, Tan, Feng & Yan 2024, arXiv:2307.10711",
        "the gradient to the order of its solver, constant memory",
        "solvers/test_adjoint::test_on_a_gaussian_the_gradient_has_the_order_of_the_solver",
        "gradients",
    ),
    # fewer calls of the model, or another model
    Tool(
        "caching.virtual.cached", "Liu et al. 2025, arXiv:2503.06923",
        "the order of its guess; exact on polynomials of that degree",
        "solvers/test_caching::test_the_error_falls_with_the_step_at_the_order_of_the_guess",
        "caching",
    ),
    Tool(
        "heads.route", "Pan et al. 2025, arXiv:2402.14167",
        "every weight of the plan; what changes with the level is the model that answers",
        "solvers/test_heads::test_routing_changes_no_weight_state_or_memory", "t_stitch",
    ),
    Tool(
        "caching.features.reuse_features", "Li et al. 2023, arXiv:2312.09608",
        "the whole network where every evaluation is a key",
        "solvers/test_heads::test_with_every_evaluation_a_key_the_network_is_whole",
    ),
    Tool(
        "fitted.gaussian_flow.teleport", "Wang & Vastola 2024, arXiv:2412.09726",
        "the exact flow where the data are Gaussian",
        "solvers/test_gaussian_flow::test_teleportation_is_the_exact_flow_of_a_gaussian",
        "teleportation",
    ),
    # around the model
    Tool(
        "wrappers.conditional.guided", "Ho & Salimans 2022, arXiv:2207.12598",
        "one meaning in every prediction",
        "solvers/test_conditional::test_guiding_any_prediction_is_guiding_the_data", "guidance",
    ),
    Tool(
        "wrappers.thresholding.thresholded", "Saharia et al. 2022, arXiv:2205.11487",
        "everything inside of the box, and order 2 at most where it acts",
        "solvers/test_thresholding::test_inside_the_box_nothing_changes_whatever_the_size_of_the_box",
    ),
    Tool(
        "wrappers.time_shift.time_shifted", "Li, Qu, Yao, Sun & Moens 2024, arXiv:2305.15583",
        "the variance, a third nearer, if told the law of the whole of it",
        "solvers/test_time_shift::test_with_the_law_of_the_whole_variance_the_gap_closes_by_a_third",
        "exposure_bias",
    ),
    Tool(
        "wrappers.dualfast.dualfast", "Yu, Luo, Wang & Zhao 2025, arXiv:2506.13058",
        "the plan without mixing; a constant mixing does not converge",
        "solvers/test_dualfast::test_a_constant_mixing_with_the_first_evaluation_does_not_converge",
        "dualfast",
    ),
    # around the process
    Tool(
        "processes.shifted.around", "Li et al. 2025, arXiv:2502.07856",
        "every sampler, its terms in the mean those in print",
        "solvers/test_shifted::test_the_plan_around_mu_is_the_shifted_model_on_the_shifted_state",
        "mean_reverting",
    ),
    Tool(
        "processes.boundary.best_boundary", "Ma, Yang, Yang, Fu & Liu 2024, arXiv:2305.15357",
        "of many starts the one of least mean loss; no guarantee on other inputs",
        "toy_models/test_super_resolution::"
        "test_the_best_boundary_is_the_candidate_of_least_mean_loss", "boundary_conditions",
    ),
)  # fmt: skip

"""What the libraries on the stand say about their samplers: who claims what, and where.

A claim is what a library (or, where it is silent, the paper that it names) documents, with the
place; it was read in the versions of :data:`SEEN`. Of a class that is no solver of a diffusion
equation the table says why it is not on the stand; of one that nobody here has seen, that it is
new. Options are spelled out where a default would stand in the way: ``clip_sample`` clips the data
prediction, which is not part of a formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEEN: Mapping[str, str] = {
    "diffusers": "0.42.1",
    "k-diffusion": "0.1.1.post1",
    "azula": "0.11.1",
    "torchdiffeq": "0.2.5",
    "torchsde": "0.2.6",
}
"""The versions in which the claims were read."""


@dataclass(frozen=True)
class Entry:
    """A sampler of a library with some options, and its claim.

    Attributes
    ----------
    library, name : str
        Library, and the name by which its adapter knows the sampler.
    label : str
        What the row is called: the name and the options that matter.
    order, weak : float, optional
        Claimed order of a deterministic sampler, weak order of a stochastic one.
    where : str
        Where the claim is documented.
    config : mapping
        Options of every run.
    formula : mapping
        Options of the runs on exact levels only, where the formula is measured.
    why : str
        Of what is no sampler: why it is not on the stand.
    """

    library: str
    name: str
    label: str
    order: float | None = None
    weak: float | None = None
    where: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    formula: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def claim(self) -> float | None:
        """The claimed number."""
        return self.weak if self.weak is not None else self.order


def _one(_t: Any) -> float:
    """Tau = 1 at every time: the reverse SDE."""
    return 1.0


_ORDER = "docstring of {}: solver_order"
_OPEN = {"clip_sample": False}
_LU = "Lu et al. 2022, 2211.01095"


def _d(name: str, label: str = "", *, config: Any = None, **claim: Any) -> Entry:
    text = f"{name} ({label})" if label else name
    return Entry("diffusers", name, text, config=config or {}, **claim)


def _orders(name: str, orders: tuple[int, ...], *, gain: int = 0, **config: Any) -> list[Entry]:
    said = _ORDER.format(name) + (" + 1 by the corrector" if gain else "")
    extra = "".join(f", {k}={v}" for k, v in config.items())
    return [
        _d(name, f"solver_order={p}{extra}", order=p + gain, where=said,
           config={"solver_order": p, **config})
        for p in orders
    ]  # fmt: skip


def _ode() -> list[Entry]:
    rho = {"order": 1, "where": "docstring of EulerDiscrete: Euler scheduler"}
    return [
        _d("DDIM", order=1, where="Song et al. 2021, 2010.02502, sec. 4.3: Euler's method",
           formula=_OPEN),
        _d("DDIMParallel", order=1, where="as DDIM", formula=_OPEN),
        _d("CogVideoXDDIM", order=1, where="as DDIM", formula=_OPEN),
        _d("PNDM", order=2, where="Liu et al. 2022, 2202.09778, sec. 3.3: second order"),
        _d("PNDM", "skip_prk_steps=True", order=2, where="as PNDM",
           config={"skip_prk_steps": True}),
        _d("IPNDM", order=4, where="docstring of IPNDM: fourth-order"),
        _d("LMSDiscrete", order=4, where="docstring of LMSDiscrete.step: order, defaults to 4"),
        *_orders("DEISMultistep", (1, 2, 3)),
        *_orders("DPMSolverMultistep", (1, 2, 3)),
        *_orders("DPMSolverMultistep", (2, 3), algorithm_type="dpmsolver",
                 final_sigmas_type="sigma_min"),
        *_orders("DPMSolverMultistep", (2,), solver_type="heun"),
        *_orders("DPMSolverSinglestep", (1, 2, 3)),
        *_orders("UniPCMultistep", (1, 2, 3), gain=1),
        *_orders("EDMDPMSolverMultistep", (1, 2, 3)),
        _d("EDMEuler", order=1, where="docstring of EDMEuler: Euler scheduler in EDM formulation"),
        _d("EulerDiscrete", **rho),
        _d("HeunDiscrete", order=2, where="Karras et al. 2022, 2206.00364, alg. 2: 2nd order"),
        _d("KDPM2Discrete", order=2, where="docstring of KDPM2Discrete: DPM-Solver-2 and alg. 2"),
        _d("FlowMatchEulerDiscrete", order=1, where="docstring: Euler scheduler"),
        _d("FlowMatchHeunDiscrete", order=2, where="docstring: Heun scheduler"),
    ]  # fmt: skip


def _sde() -> list[Entry]:
    sde = {"algorithm_type": "sde-dpmsolver++"}
    return [
        _d("DDPM", weak=1, where="Ho et al. 2020: the ancestral step, first order",
           formula=_OPEN),
        _d("DDPMParallel", weak=1, where="as DDPM", formula=_OPEN),
        _d("DDIM", "eta=1", weak=1, where="as DDPM", formula=_OPEN,
           config={"step_options": {"eta": 1.0}}),
        _d("EulerAncestralDiscrete", weak=1, where="docstring: ancestral, Euler steps"),
        _d("KDPM2AncestralDiscrete", weak=2,
           where="docstring: ancestral sampling with DPM-Solver-2 steps"),
        _d("DPMSolverSDE", weak=2, where="docstring: the stochastic sampler of DPM-Solver++"),
        *[
            _d("DPMSolverMultistep", f"sde-dpmsolver++, solver_order={p}", weak=p,
               where=_ORDER.format("DPMSolverMultistep"), config={**sde, "solver_order": p})
            for p in (1, 2, 3)
        ],
        _d("DPMSolverSinglestep", "sde-dpmsolver++, solver_order=2", weak=2,
           where=_ORDER.format("DPMSolverSinglestep"), config={**sde, "solver_order": 2}),
        _d("EDMDPMSolverMultistep", "sde-dpmsolver++, solver_order=2", weak=2,
           where=_ORDER.format("EDMDPMSolverMultistep"), config={**sde, "solver_order": 2}),
        _d("CosineDPMSolverMultistep", weak=2, where=_ORDER.format("CosineDPMSolverMultistep")),
        _d("SASolver", weak=2, where="docstring: predictor_order=2, corrector_order=2",
           formula={"tau_func": _one}),
    ]  # fmt: skip


_CONSISTENCY = "it samples a network trained to jump to the data, which solves no equation"
_TOKENS = "its states are discrete tokens, not vectors"
NOT_ON_THE_STAND: Mapping[str, str] = {
    "Amused": _TOKENS,
    "BlockRefinement": _TOKENS,
    "DiscreteDDIM": _TOKENS,
    "EntropyBound": _TOKENS,
    "VQDiffusion": _TOKENS,
    "CMStochasticIterative": _CONSISTENCY,
    "ConsistencyDecoder": _CONSISTENCY,
    "LCM": _CONSISTENCY,
    "TCD": _CONSISTENCY,
    "SCM": _CONSISTENCY,
    "FlowMatchLCM": _CONSISTENCY,
    "FlowMapEulerDiscrete": "it samples a flow map, a network of two times that jumps by itself",
    "Piflow": "its network gives a policy that is integrated inside a step, not a prediction",
    "HeliosDMD": "it samples a distilled network, which solves no equation",
    "Helios": "its sample changes its size between the stages of one run",
    "DDIMInverse": "it runs from data to noise",
    "DPMSolverMultistepInverse": "it runs from data to noise",
    "RePaint": "it needs an image and a mask at every step, and goes back and forth",
    "CogVideoXDPM": "its step takes further tensors that only its own pipeline keeps",
    "UnCLIP": "its levels are those of its own cosine table, and its last step is clipped",
    "KarrasVe": "deprecated; its loop belongs to a pipeline that is gone",
    "ScoreSdeVe": "its step is one of two (predictor, corrector) that its pipeline calls in turn",
    "ScoreSdeVp": "deprecated; its step takes the score from its own pipeline",
    "DDPMWuerstchen": "it has a cosine of its own in place of a table, and no levels to read",
    "LTXEulerAncestralRF": "it takes its levels from its own pipeline",
    "MiniMaxH3": "it takes its levels from its own pipeline",
    "RFD4Proteina": "its states are frames of a protein, not vectors",
}
"""Classes of diffusers that are no solvers of a diffusion equation, or none that can be run."""


def _kdiffusion() -> list[Entry]:
    def k(name: str, label: str = "", **claim: Any) -> Entry:
        text = f"{name} ({label})" if label else name
        return Entry("k-diffusion", name, text, **claim)

    paper = "docstring: algorithm 2 of Karras et al. 2022"
    return [
        k("euler", order=1, where=f"{paper} (Euler steps)"),
        k("heun", order=2, where=f"{paper} (Heun steps)"),
        k("dpm_2", order=2, where="docstring: inspired by DPM-Solver-2"),
        k("lms", order=4, where="signature: order=4"),
        k("dpmpp_2m", order=2, where="docstring: DPM-Solver++(2M)"),
        k("euler_ancestral", weak=1, where="docstring: ancestral sampling with Euler steps"),
        k("dpm_2_ancestral", weak=2, where="docstring: ancestral, second-order steps"),
        k("dpmpp_2s_ancestral", weak=2, where="docstring: second-order steps"),
        k("dpmpp_sde", weak=2, where="docstring: DPM-Solver++ (stochastic)"),
        k("dpmpp_2m_sde", weak=2, where="docstring: DPM-Solver++(2M) SDE"),
        k("dpmpp_2m_sde", "solver_type=heun", weak=2, where="as dpmpp_2m_sde",
          config={"solver_type": "heun"}),
        k("dpmpp_3m_sde", weak=3, where="docstring: DPM-Solver++(3M) SDE"),
        Entry("k-diffusion", "dpm_fast", "dpm_fast",
              why="it chooses its levels between two ends by itself"),
        Entry("k-diffusion", "dpm_adaptive", "dpm_adaptive",
              why="it chooses its steps by the data; its claim is a tolerance, not an order"),
    ]  # fmt: skip


def _azula() -> list[Entry]:
    many = [
        Entry("azula", f"{kind}Sampler", f"{kind}Sampler (order={p})", order=p,
              where="docstring: order n of the multi-step method", config={"order": p})
        for kind in ("zAB", "vAB", "zEAB", "xEAB", "REAB") for p in (2, 3)
    ]  # fmt: skip
    weak = {"weak": 1, "where": "docstring: ancestral, one evaluation a step"}
    return [
        Entry("azula", "DDIMSampler", "DDIMSampler", order=1, where="Song et al. 2021"),
        Entry("azula", "EulerSampler", "EulerSampler", order=1, where="docstring: 1st order"),
        Entry("azula", "HeunSampler", "HeunSampler", order=2, where="docstring: 2nd order"),
        *many,
        Entry("azula", "DDPMSampler", "DDPMSampler", **weak),
        Entry("azula", "ItoSampler", "ItoSampler", **weak),
        Entry("azula", "PCSampler", "PCSampler", weak=1, where="docstring: predictor-corrector"),
    ]


def known(library: str) -> list[Entry]:
    """The entries of the table for a library, those that are not on the stand last."""
    if library == "k-diffusion":
        return _kdiffusion()
    if library == "azula":
        return _azula()
    if library != "diffusers":
        return []
    off = [Entry("diffusers", n, n, why=why) for n, why in NOT_ON_THE_STAND.items()]
    return [*_ode(), *_sde(), *off]

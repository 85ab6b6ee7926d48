"""Mistakes in the formulas of samplers: the coefficients, their levels, and what is remembered."""

from __future__ import annotations

from mutants.mutant import LAWS, Mutant

CONSTANT = f"{LAWS}test_constant_data.py"
KEEPS = f"{CONSTANT}::test_constant_data_are_sampled_exactly_for_every_option_and_grid"
FORGETS = f"{CONSTANT}::test_a_stochastic_sampler_forgets_its_start_as_the_sde_it_declares"
COUNTING = f"{LAWS}test_counting.py"
ENDS = f"{LAWS}test_ends.py"
INVARIANCES = f"{LAWS}test_invariances.py"
TO_ZERO = f"{ENDS}::test_a_first_order_step_to_sigma_zero_is_the_data_prediction"
NEWEST = f"{ENDS}::test_on_the_data_prediction_a_step_to_sigma_zero_is_the_newest_model_output"
FROM_NOISE = f"{ENDS}::test_a_start_at_alpha_zero_samples_or_is_refused_in_one_sentence"
MULTISTEP = f"{LAWS}test_multistep_equalities.py"
NOISY = f"{LAWS}test_noisy_equalities.py"
SLOPES = f"{LAWS}test_slopes.py"
FLOW_ORDER = f"{SLOPES}::test_the_declared_order_is_shown_against_the_exact_flow"

ROWS = [
    Mutant(
        "solvers/rows.py", "z = -(1.0 + eta) * h", "z = -(1.0 + eta * eta) * h",
        "eta for tau", (f"{KEEPS}[vp-sde_dpmpp_1]",),
    ),
    Mutant(
        "solvers/rows.py",
        "std = t.sigma * math.sqrt(-math.expm1(-2 * eta * h))",
        "std = t.sigma * math.sqrt(-math.expm1(-eta * h))",
        "missing factor 2 in a variance", (f"{KEEPS}[vp-sde_dpmpp_1]",),
    ),
    Mutant(
        "solvers/rows.py",
        "std = t.sigma * math.sqrt(-math.expm1(-2 * eta * h))",
        "std = t.sigma * -math.expm1(-2 * eta * h)",
        "variance for standard deviation", (f"{KEEPS}[vp-sde_dpmpp_1]",),
    ),
    Mutant(
        "solvers/rows.py",
        "tape.lin((x, math.exp(t.log_sigma - s.log_sigma - eta * h)), *terms)",
        "tape.lin((x, math.exp(t.log_sigma - s.log_sigma)), *terms)",
        "noise added, nothing of the state taken away", (f"{KEEPS}[vp-sde_dpmpp_1]",),
    ),
    Mutant(
        "solvers/rows.py", "return [(node.lam - s.lam) / (t.lam - s.lam) for _, node in outputs]",
        "return [(node.t - s.t) / (t.t - s.t) for _, node in outputs]",
        "t for lam in a step ratio", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "return _slope_weights(tau, z, phi(1, z) / 2)",
        "return _slope_weights(tau, z, phi(1, z))", "missing factor 2", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "weights[other] = slope / tau[other]",
        "weights[other] = slope * tau[other]", "r for 1/r", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "r0, r1 = -tau[1], tau[1] - tau[2]",
        "r1, r0 = -tau[1], tau[1] - tau[2]", "h for h_last: swapped ratios", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "d1 = first + (first - second) * r0 / (r0 + r1)",
        "d1 = first - (first - second) * r0 / (r0 + r1)", "flipped sign", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "w = t.alpha * -z * weights(_tau(s, t, outputs), z)",
        "w = s.alpha * -z * weights(_tau(s, t, outputs), z)",
        "alpha at the beginning of the step", (CONSTANT,),
    ),
    Mutant(
        "solvers/rows.py", "w = t.sigma * h * weights(_tau(s, t, outputs), h)",
        "w = t.sigma * h * weights(_tau(s, t, outputs), -h)",
        "sign of h in an exponential", (f"{KEEPS}[vp-exp_ab1_noise]",),
    ),
    Mutant(
        "solvers/rows.py", "return tape.lin((x, ratio), (outputs[0][0], -ratio * s.sigma))",
        "return tape.lin((x, ratio), (outputs[0][0], -s.sigma))",
        "forgotten alpha on the step to sigma 0", (f"{TO_ZERO}[ddim_eta]",),
    ),
    Mutant(
        "solvers/rows.py", "return tape.lin((outputs[0][0], t.alpha))",
        "return tape.lin((outputs[-1][0], t.alpha))",
        "stale output on the step to sigma 0", (NEWEST,),
    ),
    Mutant(
        "solvers/rows.py",
        "outputs = [o for o in outputs if o[1].alpha > 0.0] or list(outputs[:1])",
        "outputs = list(outputs)",
        "interpolation through a level infinitely far away", (FROM_NOISE,),
    ),
    Mutant(
        "solvers/rows.py", "w = t.alpha * integral_weights(nodes, lambda r: r, s.rho, t.rho)",
        "w = integral_weights(nodes, lambda r: r, s.rho, t.rho)", "forgotten alpha", (CONSTANT,),
    ),
    Mutant(
        "solvers/rows.py", "nodes = [node.t for _, node in outputs]",
        "nodes = [float(process.t_of_lam(-node.rho)) for _, node in outputs]",
        "rho for lam in the argument of a clock", (MULTISTEP,),
    ),
    Mutant(
        "solvers/rows.py", "4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),",
        "4: (55 / 24, -59 / 24, 37 / 24, 9 / 24),", "mistyped coefficient", (MULTISTEP, CONSTANT),
    ),
]  # fmt: skip

STEPS = [
    Mutant(
        "solvers/samplers/multistep.py", "past = [(m, s), *past][:order]",
        "past = [(m, s), *past[1:]][:order]", "stale history: the last output is lost",
        (COUNTING, MULTISTEP),
    ),
    Mutant(
        "solvers/samplers/multistep.py", "left = len(grid) - i", "left = len(grid) - i + 1",
        "order goes down one step too late",
        (f"{SLOPES}::test_an_order_claimed_in_print_beyond_the_declared_one_is_not_met",),
    ),
    Mutant(
        "solvers/samplers/multistep.py",
        "rk_row(tape, process, RK_OF_ORDER[order - 1], s, t, x, clock)",
        "rk_row(tape, process, RK_OF_ORDER[max(1, order - 2)], s, t, x, clock)",
        "start of too low an order", (COUNTING,),
    ),
    Mutant(
        "solvers/samplers/multistep.py",
        'if start == "rk" and len(past) < order and t.sigma > 0:',
        'if start == "rk" and len(past) < order - 1 and t.sigma > 0:',
        "start one step too short", (COUNTING,),
    ),
    Mutant(
        "solvers/samplers/multistep.py",
        "past = given_history(tape, history[: order - 1], prediction)",
        "past = given_history(tape, history[1:order], prediction)",
        "history off by one node", (COUNTING,),
    ),
    Mutant(
        "solvers/samplers/multistep.py",
        "        tape.mark(x, t)\n    return tape.plan(x=x, **named",
        "        tape.mark(x, s)\n    return tape.plan(x=x, **named",
        "state labelled with the level before the step", (COUNTING,),
    ),
    Mutant(
        "solvers/samplers/adams_in_rho.py", "middle = process.node(0.5 * (s.t + t.t))",
        "middle = process.node_at_lam(0.5 * (s.lam + t.lam))",
        "middle in lam for middle in time", (INVARIANCES,),
    ),
    Mutant(
        "solvers/samplers/adams_in_rho.py",
        "mean = tape.lin((m1, 1 / 6), (m2, 1 / 3), (m3, 1 / 3),",
        "mean = tape.lin((m1, 1 / 6), (m2, 1 / 3), (m3, 1 / 6),",
        "weights that do not sum to 1", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/onestep.py", "((), (1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6))",
        "((), (1 / 2,), (1.0, 0.0)), (1 / 6, 2 / 3, 1 / 6))",
        "wrong inner row of a Butcher table", (f"{FLOW_ORDER}[uniform-gaussian-rho_kutta3]",),
    ),
    Mutant(
        "solvers/samplers/onestep.py", "(1 / 6, 1 / 3, 1 / 3, 1 / 6),\n)",
        "(1 / 8, 3 / 8, 3 / 8, 1 / 8),\n)", "weights of another Butcher table",
        (f"{FLOW_ORDER}[uniform-gaussian-rho_rk4]",),
    ),
    Mutant(
        "solvers/samplers/onestep.py",
        "ks.append(tape.eval(combine(at, a) if a else x, at, prediction))",
        "ks.append(tape.eval(combine(at, a) if a else x, s, prediction))",
        "model asked at the wrong time", (f"{LAWS}test_equalities.py", CONSTANT),
    ),
    Mutant(
        "solvers/samplers/onestep.py", "a32 = c3 * c3 / c2 * phi(2, c3 * z)",
        "a32 = c3 * phi(2, c3 * z)", "forgotten stage ratio", (MULTISTEP,),
    ),
    Mutant(
        "solvers/samplers/onestep.py",
        "ratio, scale = math.exp(at.log_sigma - s.log_sigma), at.alpha * h",
        "ratio, scale = math.exp(at.log_sigma - s.log_sigma), s.alpha * h",
        "coefficient of another stage", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/onestep.py",
        "return (0.0, c2), ((), (c2 * phi(1, c2 * z),)), (p - p / (2 * c2)",
        "return (0.0, c2), ((), (c2 * phi(1, z),)), (p - p / (2 * c2)",
        "whole step in the exponential of a stage", (MULTISTEP,),
    ),
    Mutant(
        "solvers/samplers/onestep.py",
        "middle, middle, -p2 + 4 * p3)", "middle, middle, -p2 + 2 * p3)",
        "missing factor 2 in the last weight",
        (f"{FLOW_ORDER}[uniform-gaussian-exp_rk4_data]",),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py", "x = row(tape, s, t, before, [(new, t), *use])",
        "x = row(tape, s, t, before, [(new, t), *use[: max(1, order - 1)]])",
        "corrector one node short",
        (MULTISTEP, f"{FLOW_ORDER}[wavy-gaussian-unipc_2]"),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py", "x = row(tape, s, t, before, [(new, t), *use])",
        "x = row(tape, s, t, x, [(new, t), *use])",
        "corrector applied to the predicted state", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py",
        "last = i == len(grid) - 1 and not correct_last",
        "last = i == len(grid) and not correct_last", "last step mistaken", (COUNTING,),
    ),
    Mutant(
        "solvers/samplers/predictor_corrector.py", "past, before = [(m, s), *past][:order], x",
        "past, before = [(m, s), *past[1:]][:order], x", "history replaced, not shifted",
        (f"{FLOW_ORDER}[wavy-gaussian-unipc_2]",),
    ),
]  # fmt: skip

NOISES = [
    Mutant(
        "solvers/samplers/stochastic.py", "float(process.f(s.t)), float(process.g2(s.t))",
        "float(process.f(s.t)), float(process.g2(s.t)) ** 0.5", "g for g^2", (NOISY,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py",
        "terms = [(x, 1.0 - f * dt),", "terms = [(x, 1.0 + f * dt),",
        "wrong direction of dt", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "0.5 * (1 + now) * g2 * dt", "(1 + now) * g2 * dt",
        "missing factor 1/2 of the score", (FORGETS,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "dt, f, g2 = s.t - t.t, float(process.f(s.t))",
        "dt, f, g2 = s.t - t.t, float(process.f(t.t))", "drift at the wrong end", (NOISY,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "g2 = s.sigma**2 * -math.expm1(2 * (s.lam - t.lam))",
        "g2 = t.sigma**2 * -math.expm1(2 * (s.lam - t.lam))", "sigma at the wrong end", (NOISY,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "keep = a * math.exp(2 * (t.log_sigma - s.log_sigma))",
        "keep = a * math.exp(t.log_sigma - s.log_sigma)", "sigma for sigma^2", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "keep = t.sigma * math.sqrt(1 - eta_ddim**2 * fresh)",
        "keep = t.sigma * math.sqrt(1 - eta_ddim * fresh)", "eta_ddim for its square",
        (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py", "std = eta_ddim * t.sigma * math.sqrt(fresh)",
        "std = eta_ddim * s.sigma * math.sqrt(fresh)", "noise of the level before", (CONSTANT,),
    ),
    Mutant(
        "solvers/samplers/stochastic.py",
        "return rk_row(tape, process, HEUN, raised, t, x, \"rho\")",
        "return rk_row(tape, process, HEUN, s, t, x, \"rho\")",
        "raised state taken for the one before the noise", (f"{KEEPS}[vp-edm_churn]",),
    ),
    Mutant(
        "solvers/samplers/stochastic.py",
        "std = raised.sigma * math.sqrt(-math.expm1(2 * (lam - s.lam)))",
        "std = raised.sigma * math.sqrt(-math.expm1(lam - s.lam))",
        "wrong amount of added noise", (f"{KEEPS}[vp-edm_churn]",),
    ),
    Mutant(
        "solvers/samplers/stochastic.py",
        "row = partial(eta_row, eta=eta, rule=\"midpoint\")",
        "row = partial(eta_row, eta=eta**0.5, rule=\"midpoint\")",
        "tau for tau^2 where both keep the law", (FORGETS,),
    ),
]  # fmt: skip

MUTANTS = [*ROWS, *STEPS, *NOISES]

"""Mistakes in the methods for general stochastic differential equations."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

ORDERS = (f"{UNIT}sde/test_sde_orders.py",)
SOLVE = (f"{UNIT}sde/test_sde_solve.py",)
PATH = (f"{UNIT}sde/test_sde_path.py",)
ADAPTIVE = (f"{UNIT}sde/test_sde_adaptive.py",)
GRADIENTS = (f"{UNIT}sde/test_sde_gradients.py",)
STABLE = (f"{UNIT}sde/test_sde_stable.py",)

BASIC = "solvers/sde/basic.py"
TABLES = "solvers/sde/rungekutta.py"
REVERSIBLE = "solvers/sde/reversible_heun.py"
LOG_ODE = "solvers/sde/log_ode.py"
TREE = "solvers/sde/path.py"
GRADIENT = "solvers/sde/gradients.py"

MUTANTS = [
    Mutant(
        "solvers/sde/polygon.py",
        "k1.add_(k4).add_(k2.add_(k3), alpha=2.0), alpha=1 / 6",
        "k1.add_(k4).add_(k2.add_(k3)), alpha=1 / 4",
        "weights of another rule",
        (
            "tests/unit/sde/test_sde_orders.py::"
            "test_the_polygon_has_order_2_where_drift_and_diffusion_commute_and_no_more",
        ),
    ),
    Mutant(
        BASIC,
        '(1.0 if sde.calculus == "ito" else 0.0)',
        '(0.0 if sde.calculus == "ito" else 1.0)',
        "calculus the wrong way round",
        ORDERS,
    ),
    Mutant(
        BASIC,
        "value=0.5 / root",
        "value=1.0 / root",
        "missing factor 1/2",
        ORDERS,
    ),
    Mutant(
        BASIC,
        "_second(sde, cell), value=0.5)",
        "_second(sde, cell), value=-0.5)",
        "flipped sign",
        ORDERS,
    ),
    Mutant(
        BASIC,
        "g + sde.g(end, there), cell.xi, root / 2",
        "g + g, cell.xi, root / 2",
        "trapezoid for the left end",
        ORDERS,
    ),
    Mutant(
        BASIC,
        "g + sde.g(cell.t + cell.h, there)",
        "g + sde.g(cell.t, there)",
        "time off by one",
        ORDERS,
    ),
    Mutant(TABLES, "(square - 2.0).mul_", "(square - 0.0).mul_", "wrong Hermite term", ORDERS),
    Mutant(TABLES, "xi.square().sub_(1.0)", "xi.square()", "no Ito term", ORDERS),
    Mutant(
        TABLES,
        "b0=((), (3 / 2,), (), ())",
        "b0=((), (1 / 2,), (), ())",
        "coefficient",
        ORDERS,
    ),
    Mutant(
        TABLES,
        "b1=((), (1 / 2,), (-1.0,), (-5.0, 3.0, 1 / 2))",
        "b1=((), (1 / 2,), (-1.0,), (-5.0, 3.0, -1 / 2))",
        "sign of a coefficient",
        ORDERS,
    ),
    Mutant(TABLES, "zeta, 1.5 * spread)", "zeta, -1.5 * spread)", "sign of the area", ORDERS),
    Mutant(
        TABLES,
        "g - after, cell.xi, 0.5 * root)",
        "g - after, cell.xi, 0.25 * root)",
        "missing factor 2",
        ORDERS,
    ),
    Mutant(TABLES, "5 / 6 * root", "2 / 3 * root", "wrong node", ORDERS),
    Mutant(
        TABLES,
        "add_kick(sde, x.clone(), g, zeta, spread)",
        "add_kick(sde, x.clone(), g, zeta, -spread)",
        "sign of the shift",
        ORDERS,
    ),
    Mutant(
        LOG_ODE,
        "return change - _along(a, y, value)",
        "return _along(a, y, value) - change",
        "bracket the wrong way round",
        ORDERS,
    ),
    Mutant(LOG_ODE, "+ h / 30)", "+ h / 12)", "another mean of the area", ORDERS),
    Mutant(
        REVERSIBLE,
        "torch.add(2 * z - y, f, alpha=h)",
        "torch.add(z, f, alpha=h)",
        "forgotten shadow",
        SOLVE,
    ),
    Mutant(
        REVERSIBLE,
        "advance(sde, state, cell.t, -cell.h,",
        "advance(sde, state, cell.t + cell.h, -cell.h,",
        "time off by one",
        SOLVE,
    ),
    Mutant(
        "solvers/sde/problem.py",
        '-0.5 if calculus == "stratonovich" else 0.5',
        '0.5 if calculus == "stratonovich" else -0.5',
        "flipped sign",
        SOLVE,
    ),
    Mutant(
        "solvers/sde/problem.py",
        "(g[..., k],))[1][..., k]",
        "(g[..., 0],))[1][..., k]",
        "index of a column",
        SOLVE,
    ),
    Mutant(TREE, "1.5 * piece.area", "1.0 * piece.area", "weight of the area", PATH),
    Mutant(TREE, "0.5 * math.sqrt(h / 12) * zeta", "math.sqrt(h / 12) * zeta", "factor 2", PATH),
    Mutant(TREE, "0.25 * piece.area - 0.5", "0.25 * piece.area + 0.5", "flipped sign", PATH),
    Mutant(
        "solvers/sde/adaptive.py",
        "job.x[rows[good]] = two[good]",
        "job.x[rows] = two",
        "refused steps that stand",
        ADAPTIVE,
    ),
    Mutant(
        "solvers/sde/adaptive.py",
        "flatten(1).square().mean(1).sqrt()",
        "flatten(1).square().mean().sqrt().expand(len(x))",
        "norm over the batch",
        ADAPTIVE,
    ),
    Mutant(
        GRADIENT,
        "s - 0.5 * (d + e)",
        "s - d",
        "Euler for the trapezoid",
        GRADIENTS,
    ),
    Mutant(GRADIENT, "*(-g for g in found)", "*(g for g in found)", "flipped sign", GRADIENTS),
    Mutant(
        GRADIENT,
        "grads = [found[0], *(t + g for t, g in zip(totals, found[1:], strict=True))]",
        "grads = [found[0], *totals]",
        "forgotten start",
        GRADIENTS,
    ),
    Mutant(
        "solvers/sde/stable.py",
        "0.5 * self.sigma(t) ** 2",
        "0.5 * self.sigma(t)",
        "deviation for variance",
        STABLE,
    ),
]

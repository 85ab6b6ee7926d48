"""Mistakes in sweeps on a cluster, in what a network is known by, and in what is refused."""

from __future__ import annotations

from mutants.mutant import UNIT, Mutant

DASK = (f"{UNIT}jobs/test_sweep_on_dask.py",)
LOST = (f"{DASK[0]}::test_what_kills_each_worker_is_given_up_last_and_only_that_is_done_again",)
MISSING = (f"{DASK[0]}::test_errors_are_raised_as_they_are_and_a_missing_program_is_named",)
GONE = (f"{DASK[0]}::test_a_scheduler_that_is_lost_leaves_what_was_measured",)
LIGHT = (f"{DASK[0]}::test_nothing_imports_dask_before_it_is_asked_for",)
IDENTITY = (f"{UNIT}jobs/test_identity.py",)
KEPT = (f"{UNIT}jobs/test_identity_kept.py",)
LIMITS = (f"{UNIT}jobs/test_limits.py",)
PICTURES = (f"{UNIT}jobs/test_pictures.py",)

WORKERS = [
    Mutant(
        "analysis/sweep_workers.py", "task = tasks[future.key]", "task = todo[0]",
        "the result of another task", DASK,
    ),
    Mutant(
        "analysis/sweep_workers.py", "                lost += 1\n",
        "                raise future.exception()\n", "all is given up with one", LOST,
    ),
    Mutant(
        "analysis/sweep_workers.py", "    if lost:\n", "    if False:\n",
        "what is lost is not said", LOST,
    ),
    Mutant(
        "analysis/sweep_workers.py", 'if future.status in ("cancelled", "lost"):', "if False:",
        "a lost scheduler", GONE,
    ),
    Mutant(
        "analysis/sweep_workers.py", "        raise _gone(address)\n    error =",
        "        return True\n    error =", "a lost scheduler taken for lost workers", GONE,
    ),
    Mutant(
        "analysis/sweep_workers.py", "        cause = cause.__cause__\n", "        cause = None\n",
        "the scheduler's reason", MISSING,
    ),
    Mutant(
        "analysis/sweep_workers.py", "if version != __version__:", "if False:",
        "another version on a worker", MISSING,
    ),
    Mutant(
        "analysis/sweep_workers.py", "import functools\nimport time\n",
        "import functools\nimport time\n\nimport distributed  # noqa: F401\n",
        "Dask before it is asked for", LIGHT,
    ),
]  # fmt: skip

NETWORKS = [
    Mutant(
        "solvers/networks/identity.py",
        "buffers = dict(module.named_buffers(remove_duplicate=False))", "buffers = dict()",
        "buffers that are not saved", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", '        found.update(numbers(tensor))\n', "",
        "names for weights", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", 'return getattr(module, "_orig_mod", module)',
        "return module", "another network because it is compiled", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py",
        "None if network.module is None else _architecture(network.module)", "None",
        "the architecture left out", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "if field.init and not", "if not",
        "signs of a library", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "        FILE: network.about.get(FILE),\n", "",
        "the file left out", KEPT,
    ),
    Mutant(
        "solvers/networks/identity.py", "w @ rows.sum(0)", "0 * (w @ rows.sum(0))",
        "the size of an answer alone", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "levels[2 + 2 * k]", "levels[4]",
        "one level for all probes", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "k * most // 2", "0", "one class for all probes",
        IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "    allowed = _ROUNDING + tolerance *",
        "    allowed = tolerance *", "a zero that rounds otherwise", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "    if not _close(*times, 1e-9):", "    if False:",
        "times that are not compared", IDENTITY,
    ),
    Mutant(
        "solvers/networks/identity.py", "if bool(found.isfinite().all()) else None",
        "if True else None", "a probe that is not a number", IDENTITY,
    ),
    Mutant(
        "solvers/adapters/callable_box.py",
        '        raise OSError(errno.ENOTSUP, "no bytecode", path)\n',
        "        return super().path_stats(path)\n", "bytecode of the file before the edit",
        KEPT,
    ),
    Mutant(
        "solvers/jobs/folder.py", "other = found and f", "other = None and f",
        "answers that are not compared", KEPT,
    ),
    Mutant(
        "analysis/sweep_results.py", 'network.digest if network else ""', '""',
        "a row of other weights is overwritten", KEPT,
    ),
    Mutant(
        "analysis/sweep_results.py", "other = _otherwise(", "other = None and _otherwise(",
        "a row of other answers counts", KEPT,
    ),
    Mutant(
        "analysis/sweep.py", "other = wanted and", "other = None and",
        "a worker with another network", KEPT,
    ),
    Mutant(
        "analysis/sweep.py", "_reference(*words, wanted)", "_reference(*words)",
        "the network of yesterday, still in memory", KEPT,
    ),
]  # fmt: skip

ASKED = [
    Mutant(
        "solvers/jobs/folder.py", 'identity(there["job"])', "identity(self.determining)",
        "images made twice for 1 and 1.0", (f"{UNIT}jobs/test_work_resumed.py",),
    ),
    Mutant(
        "solvers/jobs/limits.py", "if count * each > MOST_NUMBERS:", "if each > MOST_NUMBERS:",
        "a batch of one", LIMITS,
    ),
    Mutant(
        "solvers/jobs/limits.py", "rows = steps * math.prod(whole.values())",
        "rows = steps + sum(whole.values())", "options that add", LIMITS,
    ),
    Mutant(
        "solvers/jobs/trial.py", "within_memory(min(job.batch, job.count), network.shape)", "pass",
        "a batch of any size", LIMITS,
    ),
    Mutant(
        "solvers/jobs/pictures.py", "if channels == 3:", "if channels in (3, 4):",
        "a fourth channel for transparency", PICTURES,
    ),
    Mutant(
        "solvers/jobs/pictures.py", "columns, height, width).swapaxes(1, 2)",
        "columns, height, width)", "channels that are shredded", PICTURES,
    ),
    Mutant(
        "solvers/jobs/pictures.py", "network.shape[0] not in COLOURS", "False",
        "latents cut at one standard deviation", PICTURES,
    ),
]  # fmt: skip

MUTANTS = [*WORKERS, *NETWORKS, *ASKED]

"""Mistakes in jobs: plans cut in two, states of several tensors, folders, shards and sweeps."""

from __future__ import annotations

from mutants.mutant import LAWS, UNIT, Mutant

CUT = (f"{UNIT}jobs/test_plan_split.py", f"{LAWS}test_splitting.py")
TUPLES = (f"{UNIT}jobs/test_tuples.py",)
JOB = (f"{UNIT}jobs/test_job.py",)
PICTURES = (f"{UNIT}jobs/test_pictures.py",)
WORK = (f"{UNIT}jobs/test_work.py",)
RESUMED = (f"{UNIT}jobs/test_work_resumed.py",)
FAILING = (f"{UNIT}jobs/test_work_failing.py",)
KILLED = (f"{UNIT}jobs/test_killed.py",)
SWEEP = (f"{UNIT}jobs/test_sweep.py",)

PLANS = [
    Mutant(
        "solvers/plan_split.py", "plan.deaths[: row + 1]", "plan.deaths[:row]",
        "one row too early", CUT,
    ),
    Mutant(
        "solvers/plan_split.py", "for j, w in op.terms))", "for j, w in reversed(op.terms)))",
        "terms in another order", CUT,
    ),
    Mutant(
        "solvers/plan_split.py", "return Input(name, op.node, op.prediction)",
        "return Input(name, op.node)", "a forgotten prediction", CUT,
    ),
    Mutant(
        "solvers/plan_split.py", 'put_out = {"x": end, **_named(plan, last)}',
        'put_out = {"x": end}', "a forgotten history", CUT,
    ),
    Mutant(
        "solvers/tuples.py", "self._packing.unpack(found)", "self.x",
        "the state for the data prediction", TUPLES,
    ),
    Mutant(
        "solvers/tuples.py", "step: packing.unpack(v) for step, v",
        "step + 1: packing.unpack(v) for step, v", "step off by one", TUPLES,
    ),
]  # fmt: skip

IMAGES = [
    Mutant(
        "solvers/jobs/trial.py", "return grid[0].sigma * upload", "return grid[0].alpha * upload",
        "alpha for sigma", WORK,
    ),
    Mutant(
        "solvers/jobs/trial.py", 'f"{seed}|start|"', '"start|"', "a forgotten seed", WORK,
    ),
    Mutant(
        "solvers/jobs/trial.py", "noise, model = CellNoise(job.seed, ids)",
        "noise, model = CellNoise(job.seed)", "noise by the place in the batch", WORK,
    ),
    Mutant(
        "solvers/jobs/trial.py", "            interval=job.interval,\n", "",
        "a forgotten interval", WORK,
    ),
    Mutant(
        "solvers/jobs/trial.py", "step = error.step + before", "step = error.step",
        "steps of the piece for steps of the run", FAILING,
    ),
    Mutant(
        "solvers/jobs/labels.py", "turn[i % len(turn)] for i in ids",
        "turn[k % len(turn)] for k, _ in enumerate(ids)", "labels by the place in the batch",
        (*JOB, *WORK),
    ),
    Mutant(
        "solvers/jobs/pictures.py", "(255.0 / (high - low))", "127.5",
        "a range that is taken for granted", PICTURES,
    ),
    Mutant(
        "solvers/jobs/pictures.py", "np.rint(scaled)", "np.floor(scaled)", "cut, not rounded",
        PICTURES,
    ),
    Mutant(
        "solvers/jobs/spacing.py", '"quadratic-t": _times(2.0)', '"quadratic-t": _times(1.0)',
        "another power", JOB,
    ),
]  # fmt: skip

FOLDERS = [
    Mutant(
        "solvers/jobs/shards.py", "items[self.index :: self.of]", "items[: self.index + 1]",
        "work done twice", (*JOB, *RESUMED),
    ),
    Mutant(
        "solvers/jobs/job.py", 'WHERE = ("device",)', 'WHERE = ("device", "seed")',
        "a field that does not count", JOB,
    ),
    Mutant(
        "solvers/jobs/folder.py", 'if data is None or _digest(data) != record["array"]:',
        "if data is None:", "a spoilt array that counts", RESUMED,
    ),
    Mutant(
        "solvers/jobs/folder.py", 'if found is None or found.get("identity") != self.identity:',
        "if found is None:", "a record of another job that counts", RESUMED,
    ),
    Mutant(
        "solvers/jobs/folder.py", "self.failure(ids).unlink(missing_ok=True)", "pass",
        "a failure that outlives its cure", FAILING,
    ),
    Mutant(
        "solvers/jobs/folder.py", "        self._write_record(ids, {**about,",
        "        self.array(ids).unlink()\n        self._write_record(ids, {**about,",
        "a record without its array", (*RESUMED, *KILLED),
    ),
    Mutant(
        "solvers/jobs/checkpoints.py", "ours and words.get", "ours or words.get",
        "a spoilt checkpoint that counts", FAILING,
    ),
    Mutant(
        "solvers/jobs/manifest.py",
        'if _seen(folder) <= {tuple(b["ids"]) for b in found["batches"]}:', "if True:",
        "no second look", RESUMED,
    ),
    Mutant(
        "solvers/jobs/manifest.py", '        folder.sweep()\n', "        pass\n",
        "half-written files left behind", KILLED,
    ),
]  # fmt: skip

SWEEPS = [
    Mutant(
        "analysis/sweep.py", "np.sqrt(np.mean(errors**2))", "np.mean(errors)",
        "mean for root mean square", SWEEP,
    ),
    Mutant(
        "analysis/sweep_results.py", 'if found["config"] != asdict(cfg):', "if False:",
        "a result of another configuration", SWEEP,
    ),
    Mutant(
        "src/fokker/cli/sweep.py", 'r["rms"] < 3 * r["reference_error"]', "False",
        "an error below that of the truth", SWEEP,
    ),
]  # fmt: skip

MUTANTS = [*PLANS, *IMAGES, *FOLDERS, *SWEEPS]

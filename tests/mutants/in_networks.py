"""Mistakes in how networks are loaded, told their level, asked for classes, and guided."""

from .mutant import UNIT, Mutant

ROOM = "solvers/networks/"
FOLDER = f"{UNIT}networks/"
CHECKPOINT = (f"{FOLDER}test_checkpoint.py",)
SAVED = (f"{FOLDER}test_network_folder.py",)
ASKING = (f"{FOLDER}test_asking.py",)
EDM = (f"{FOLDER}test_edm.py",)
NETWORK = (f"{FOLDER}test_network.py",)
TEXT = (f"{FOLDER}test_process_text.py",)
DIFFUSERS = (
    "tests/external/test_diffusers_networks.py", "tests/external/test_diffusers_files.py",
)  # fmt: skip

MUTANTS = [
    Mutant(
        f"{ROOM}checkpoint.py", 'if start[8:9] == b"{" and 2 <= length <= min(LIMIT, size - 8):',
        'if start[8:9] == b"{" and 2 <= length <= size - 8:', "a header without a limit",
        CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "    kind = kind_of(start)\n    if kind is not None:",
        "    kind = kind_of(start)\n    if kind is not None and length > LIMIT**2:",
        "a pickle that is not named", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "if second.begin < first.end:", "if second.begin < first.begin:",
        "tensors over each other", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "    if place != size:", "    if place > size:",
        "bytes that belong to no tensor", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "type(n) is int and 0 <= n", "0 <= n",
        "true for a number", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "wanted = math.prod(shape) * SIZES[dtype]",
        "wanted = math.prod(shape) * SIZES[dtype] % 2**64", "a product that wraps around",
        CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "    _check_finite(tensors, name)\n", "",
        "NaN weights are read", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "if tuple(shape) != tuple(found[key]):",
        "if math.prod(shape) != math.prod(found[key]):", "sizes compared for shapes", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}strict_json.py", "if len(found) < len(pairs):", "if not pairs and found:",
        "the last of two equal keys", CHECKPOINT,
    ),
    Mutant(
        f"{ROOM}folder.py", 'if found.digest != record["digest"]:', "if not found.digest:",
        "weights of another network", SAVED,
    ),
    Mutant(
        f"{ROOM}folder.py", "            if aside.exists() and not target.exists():",
        "            if target.exists():", "the old network is lost on failure", SAVED,
    ),
    Mutant(
        f"{ROOM}names.py", "if real.parent != home:", "if not real.name:",
        "a link that leads out", SAVED,
    ),
    Mutant(
        f"{ROOM}names.py", "plain = name.isprintable() and not", "plain = not",
        "null bytes in a name", SAVED,
    ),
    Mutant(
        f"{ROOM}process_text.py", "if not value < before:", "if value > before:",
        "a table that does not decrease", TEXT,
    ),
    Mutant(
        f"{ROOM}asking.py", "1.0 / (node.alpha + node.sigma),",
        "1.0 / (node.alpha - node.sigma),",
        "flipped sign in the straight state", ASKING,
    ),
    Mutant(
        f"{ROOM}asking.py", "-0.25 * node.lam", "0.25 * node.lam", "c_noise with the wrong sign",
        EDM,
    ),
    Mutant(
        f"{ROOM}asking.py", "math.hypot(node.sigma, node.alpha * sigma_data)",
        "math.hypot(node.sigma, sigma_data)", "c_in of x for c_in of x/alpha", EDM,
    ),
    Mutant(
        f"{ROOM}asking.py", "torch.promote_types(dtype, torch.float32)", "dtype",
        "a level in bfloat16", ASKING,
    ),
    Mutant(
        f"{ROOM}edm.py", "lam_range=(-math.log(sigma_max), -math.log(sigma_min))",
        "lam_range=(math.log(sigma_min), math.log(sigma_max))", "levels upside down", EDM,
    ),
    Mutant(
        f"{ROOM}edm.py", "self.classes + 1)[:, :-1]", "self.classes + 1)[:, 1:]",
        "one-hot rows shifted by one", EDM,
    ),
    Mutant(
        f"{ROOM}network.py", "both = self._bound(torch.cat([rows, none]), autocast)",
        "both = self._bound(torch.cat([none, rows]), autocast)", "the two answers swapped",
        NETWORK,
    ),
    Mutant(
        f"{ROOM}network.py", "return spacing.grid(steps - 1, to_zero=True)",
        "return spacing.grid(steps, to_zero=True)", "a step too many", NETWORK,
    ),
    Mutant(
        f"{ROOM}network.py", "return torch.full((x.shape[0],), self.classes, device=device)",
        "return torch.full((x.shape[0],), 0, device=device)", "class 0 for no class", NETWORK,
    ),
    Mutant(
        f"{ROOM}network.py", "return call(x, one_time(t, x), rows).to(x.dtype)",
        "return call(x, one_time(t, x), rows)", "the dtype of autocast gets out", NETWORK,
    ),
    Mutant(
        f"{ROOM}compiling.py", "call=replace(call, module=module)", "call=call",
        "the module is not compiled", NETWORK,
    ),
    Mutant(
        f"{ROOM}diffusers_training.py", "return lambda t: (1.0, t * process.levels - 1.0)",
        "return lambda t: (1.0, t * process.levels)", "an index that is off by one", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_training.py", 'return "edm", 1.0 if said == "epsilon" else -1.0',
        'return "edm", 1.0', "the sign of EDM's v", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_training.py", "last = 1.0 - process.zero_terminal / process.levels",
        "last = 1.0", "a range that starts at alpha = 0", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_call.py", "lambda c: max(round(c), 0)",
        "lambda c: max(int(c), 0)", "a time rounded down", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_call.py", "out = out[:, : self.channels]",
        "out = out[:, -self.channels :]", "the variance for the mean", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_call.py", "[i for i in range(count) if i != null] + [null]",
        "[null] + [i for i in range(count) if i != null]", "the null row first", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "if described > held:", "if described < 0:",
        "a giant is built", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", '(lost, "lack"), ', "",
        "weights left at random", DIFFUSERS,
    ),
    Mutant(
        f"{ROOM}diffusers_files.py", "if check_name(name) != name or not", "if not",
        "a shard from elsewhere", DIFFUSERS,
    ),
    Mutant(
        "solvers/wrappers/conditional.py", "with_condition, without = both(x, t)",
        "without, with_condition = both(x, t)", "both answers the wrong way round", NETWORK,
    ),
]  # fmt: skip

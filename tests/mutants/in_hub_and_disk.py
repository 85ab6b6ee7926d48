"""Mistakes in what is fetched, what is believed of a stranger, and what a full disk leaves."""

from .mutant import UNIT, Mutant

ROOM = "solvers/networks/"
HUB = "tests/external/test_hub.py::"
LIES = "tests/external/test_hostile_networks.py"
HOSTILE = f"{UNIT}networks/test_hostile_files.py"
WEIGHTS = f"{UNIT}networks/test_checkpoint.py"
CALLS = f"{UNIT}files/test_failing_calls.py"
JOBS = f"{UNIT}files/test_hostile_job_folder.py"
NAMES = (f"{HOSTILE}::test_names_are_the_same_on_every_system_and_to_every_eye",)
PICKLES = (
    f"{HUB}test_weights_that_are_only_pickles_are_refused_and_no_byte_of_them_is_asked_for",
)
TROUBLE = (f"{HUB}test_what_cannot_be_fetched_is_said_in_one_sentence_with_its_name",)
SHARDS = (f"{HUB}test_shards_are_fetched_by_the_names_of_the_library",)

MUTANTS = [
    # what is fetched
    Mutant(
        f"{ROOM}hub.py", '"allow_patterns": _wanted(places, stem, variant),',
        '"ignore_patterns": _wanted(places, stem, "none"),', "everything is fetched", PICKLES,
    ),
    Mutant(
        f"{ROOM}hub.py", '        "config.json",\n', '        "*.json",\n        "*.py",\n',
        "code is fetched", PICKLES,
    ),
    Mutant(
        f"{ROOM}hub.py", '_NUMBER = "[0-9]" * 5', '_NUMBER = "?" * 5',
        "a number that is any letter", SHARDS,
    ),
    Mutant(
        f"{ROOM}hub.py", "except Exception as reason:",
        "except (OSError, ValueError, RuntimeError) as reason:", "a line that breaks", TROUBLE,
    ),
    Mutant(
        f"{ROOM}hub.py", "isinstance(reason, errors.GatedRepoError)",
        "isinstance(reason, errors.RevisionNotFoundError)", "gated for missing", TROUBLE,
    ),
    Mutant(
        f"{ROOM}hub.py", "isinstance(cause, errors.HfHubHTTPError)",
        "isinstance(reason, errors.BadRequestError)", "an answer for no answer", TROUBLE,
    ),
    Mutant(
        f"{ROOM}hub.py", "in rooms and file.endswith(", "in rooms or file.endswith(",
        "a pickle elsewhere for the reason", PICKLES,
    ),
    Mutant(
        f"{ROOM}hub.py", "weights = glob.escape(", "weights = str(",
        "a variant that is a pattern", (f"{HUB}test_a_variant_is_a_word_and_no_pattern",),
    ),
    Mutant(
        f"{ROOM}diffusers_files.py", '"_").split("/"), variant or "_"]', '"_").split("/")]',
        "a variant that is a path", (f"{HUB}test_a_variant_is_a_word_and_no_pattern",),
    ),
    # what is believed of a folder of diffusers
    Mutant(
        f"{ROOM}diffusers_files.py", "    if index.exists():\n        found",
        "    if index.exists() and not single.exists():\n        found",
        "an index that is not looked at", (LIES,),
    ),
    Mutant(
        f"{ROOM}diffusers_files.py", "        _check_once(found)\n", "",
        "a tensor in two files", (LIES,),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "    if tables > held + _TABLES:",
        "    if tables > held + 2 * _TABLES + 10**9:", "a table without end",
        (f"{LIES}::test_a_table_may_be_as_large_as_the_weights_and_a_little_more",),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "        if left < 0:", "        if left < -(10**6):",
        "layers without end", (f"{LIES}::test_layers_without_end_are_not_built[changed1]",),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "            handle.remove()", "            del handle",
        "a count that goes on", (LIES,),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "        if shapes != {", "        if not shapes or {} == {",
        "a file that changes", (LIES,),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "torch.random.fork_rng(devices=[]), _uninitialised()",
        "nullcontext(), nullcontext()", "the generator moved by a network", (LIES,),
    ),
    Mutant(
        f"{ROOM}diffusers_module.py", "repr(key[:80]) for key in keys[:3]",
        "key[:80] for key in keys[:3]", "names of tensors as they are", (LIES,),
    ),
    # what is believed of a header, a record, a name
    Mutant(
        f"{ROOM}checkpoint.py", "type(n) is int and 0 <= n <= _LARGEST",
        "type(n) is int and 0 <= n", "integers without end", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "if wanted < 2**70 else", "if wanted else",
        "a number of a thousand digits", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "(tensor.view(torch.uint8) > 1)",
        "(tensor.view(torch.uint8) > 2)", "a truth that is 2", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "repr(k[:80]) for k in", "str(k) for k in",
        "names of tensors as they are", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "    except MemoryError as reason:",
        "    except BufferError as reason:", "a file larger than memory", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "_parse(data, size, name) != header", "not header.length",
        "a file that changes", (WEIGHTS,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "if len(data) != size or", "if len(data) > size or",
        "a file cut while it is read", (WEIGHTS,),
    ),
    Mutant(
        f"{ROOM}checkpoint.py", "return file.read(size)", "return file.read()",
        "a file that grows while it is read", (WEIGHTS,),
    ),
    Mutant(
        f"{ROOM}strict_json.py", "            _check_regular(found, path, what, error)\n", "",
        "what is open is not looked at", (WEIGHTS,),
    ),
    Mutant(
        f"{ROOM}strict_json.py", "        _check_depth(found)\n", "",
        "depth as far as the stack goes", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}strict_json.py", "    for _ in range(DEPTH):", "    for _ in range(DEPTH - 1):",
        "one level less", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}strict_json.py", "            parse_float=None if constants else _finite,\n", "",
        "infinity by a large exponent", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}names.py", '    if name.split(".")[0].rstrip(" ").lower() in _DEVICES:',
        "    if name.lower() in _DEVICES:", "a device with an ending", NAMES,
    ),
    Mutant(
        f"{ROOM}names.py", 'unicodedata.normalize("NFKC", name) != name',
        'unicodedata.normalize("NFC", name) != name', "a wide separator", NAMES,
    ),
    Mutant(
        f"{ROOM}names.py", "map(_is_unseen, name)", "()",
        "letters that cannot be seen", NAMES,
    ),
    Mutant(
        f"{ROOM}names.py", "len(name.encode()) > _BYTES", "len(name) > _BYTES",
        "letters counted for bytes", NAMES,
    ),
    Mutant(
        f"{ROOM}errors.py", "(c if c.isprintable() else ascii(c)[1:-1] for c in line)", "(line)",
        "words that move the cursor", (HOSTILE,),
    ),
    Mutant(
        "src/fokker/cli/__init__.py", "c if c.isprintable() else ascii(c)[1:-1]", "c",
        "words that move the cursor", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}architectures.py", "given = told(dict(config))", "given = dict(config)",
        "a config that fills the screen", (HOSTILE,),
    ),
    Mutant(
        f"{ROOM}architectures.py", 'in ("normal_", "uniform_")', 'in ("uniform_",)',
        "numbers that nobody sees are drawn", (HOSTILE,),
    ),
    # what is believed of the folder of a job
    Mutant(
        "solvers/jobs/folder.py", "        except (ValueError, OSError, EOFError):",
        "        except OSError:", "an array that is none", (JOBS,),
    ),
    Mutant(
        "solvers/jobs/folder.py", "and np.isfinite(samples).all()", "", "an array of NaN", (JOBS,),
    ),
    Mutant(
        "solvers/jobs/folder.py", "and len(samples) == len(ids)", "", "an array of another count",
        (JOBS,),
    ),
    Mutant(
        "solvers/jobs/checkpoints.py", "and len(step) < 10", "", "a step of a thousand digits",
        (JOBS,),
    ),
    # what a disk that fails leaves
    Mutant(
        "solvers/files.py", "    with suppress(OSError, ValueError):\n        part.unlink",
        "    with suppress(ValueError):\n        part.unlink", "a disk that fails twice", (CALLS,),
    ),
    Mutant(
        "solvers/files.py", "        manifest.unlink(missing_ok=True)\n", "",
        "an old manifest over new files", (CALLS,),
    ),
    Mutant(
        "solvers/files.py", "            _fill(parts[target], data)\n",
        "            _fill(parts[target], data)\n            parts[target].replace(target)\n"
        "            _fill(parts[target], data)\n",
        "names before all are written", (CALLS,),
    ),
    Mutant(
        "solvers/files.py", "        os.fsync(file.fileno())", "        file.fileno()",
        "a name before its bytes", (CALLS,),
    ),
    Mutant(
        "solvers/files.py",
        "if not isinstance(error, PermissionError) and error.errno not in _NO_LINKS:",
        "if not part.exists():", "a full disk for one without links", (CALLS,),
    ),
    Mutant(
        f"{ROOM}folder.py", ".replace(os.fspath(part), os.fspath(target))", "",
        "the name of a folder that is gone", (CALLS,),
    ),
    Mutant(
        f"{ROOM}folder.py", "            if aside.exists():  # a disk that fails twice",
        "            if not aside:", "where the old network is", (CALLS,),
    ),
]  # fmt: skip

"""Mistakes in what runs on a device, and in how it is counted."""

from __future__ import annotations

from mutants.mutant import Mutant

LAW = ("tests/laws/test_devices.py",)
WORK = ("tests/unit/analysis/test_device_work.py",)
NETWORKS = ("tests/unit/networks/test_networks_on_a_device.py",)

MUTANTS = [
    Mutant(
        "solvers/engine/upload.py",
        "host.pin_memory().to(device, non_blocking=True)",
        "host.to(device, non_blocking=True)",
        "noise is sent from memory that is not pinned",
        LAW,
    ),
    Mutant(
        "solvers/engine/upload.py",
        "host.pin_memory().to(device, non_blocking=True)",
        "host.pin_memory().to(device)",
        "the host waits for the copy of its noise",
        LAW,
    ),
    Mutant(
        "solvers/engine/executor.py",
        "self.flags.append((row, sums))",
        "self.flags.append((row, sums * float(sums[0])))",
        "a look at every arrival on a device",
        LAW,
    ),
    Mutant(
        "solvers/engine/executor.py",
        "                out.add_(v, alpha=w)",
        "                out.add_(w * v)",
        "a temporary for every term",
        LAW,
    ),
    Mutant(
        "solvers/networks/network.py",
        "        if device not in moved:",
        "        if labels is not None:",
        "labels are sent at every call",
        NETWORKS,
    ),
    Mutant(
        "toy_models/networks.py",
        "    host_labels: ClassVar[bool] = True",
        "    host_labels: ClassVar[bool] = False",
        "labels are read back from the device",
        NETWORKS,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "        free = patient and _memory(source) in self.pinned",
        "        free = patient",
        "any copy that says so is taken to wait for nothing",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "        free = patient and _memory(source) in self.pinned",
        "        free = _memory(source) in self.pinned",
        "a copy from pinned memory is taken to wait for nothing",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "        return any(v.dtype == torch.bool for v in operands[1:])",
        "        return False",
        "a mask is taken for a list of places",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "if there and (apart or name in _CHECKS) and not self.prepares():",
        "if apart and not self.prepares():",
        "the checks of linear algebra are taken to be free",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "            read = [v for v in there if id(v) not in filled]",
        "            read = there",
        "what is only written is counted as read",
        WORK,
    ),
    Mutant(
        "analysis/device_work.py",
        "    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())",
        "    return x.numel() * x.element_size()",
        "an expanded tensor is counted at its full size",
        WORK,
    ),
    Mutant(
        "analysis/device_work.py",
        "            self._prepares = before",
        "            self._prepares = True",
        "preparing never ends",
        WORK,
    ),
    Mutant(
        "analysis/device_work.py",
        "            with work.apart() as call:",
        "            with work.apart() as call, work.apart():",
        "the calls of the network are counted with the sampler",
        LAW,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "        if self.holders[memory] == 1:",
        "        if self.holders[memory] >= 1:",
        "views are counted as memory",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "            self.kept(-size)",
        "            self.kept(0)",
        "memory is never free again",
        LAW + WORK,
    ),
    Mutant(
        "solvers/engine/executor.py",
        "        if self.pool:\n            return self.pool.pop()",
        "        if len(self.pool) > 1:\n            return self.pool.pop()",
        "a buffer that is never used again",
        LAW,
    ),
    Mutant(
        "analysis/known_numbers.py",
        "                    self._numbers.pop(value, None)",
        "                    self._numbers.get(value, None)",
        "a number stays known when samples are added to it",
        WORK,
    ),
    Mutant(
        "analysis/imagined_device.py",
        "        self.waited(error)\n        return numbers",
        "        return numbers",
        "to read a known number costs nothing",
        WORK,
    ),
]

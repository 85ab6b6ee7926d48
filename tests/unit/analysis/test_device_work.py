"""Work on an imagined device, against counts by hand; every way of waiting is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fokker.analysis.device_work import DeviceWaitError, DeviceWork, device_work
from fokker.analysis.imagined_device import imagined
from fokker.solvers.engine.upload import upload
from fokker.solvers.errors import AnalysisError
from fokker.toy_models.networks import named_network

DEVICE = imagined()

STATE = 4 * 4 * 3  # bytes of four float32 samples of three numbers


def counted(function) -> DeviceWork:
    with device_work() as work:
        function(work.empty(4, 3))
    return work


@pytest.mark.parametrize(
    ("function", "kernels", "read", "written"),
    [
        (lambda x: 2 * x, 1, STATE, STATE),
        (lambda x: x.add_(x, alpha=0.5), 1, 2 * STATE, STATE),
        (lambda x: torch.mul(x, 3.0, out=torch.empty_like(x)), 1, STATE, STATE),
        (lambda x: x.fill_(1.0), 1, 0, STATE),
        (lambda x: torch.empty_like(x).copy_(x), 1, STATE, STATE),
        (lambda x: x.double(), 1, STATE, 2 * STATE),
        (lambda x: x.sum(), 1, STATE, 4),
        (lambda x: x.new_empty(1, 3).expand(4, 3).sum(), 1, 12, 4),  # what lies in memory
        (lambda x: torch.ones_like(x), 1, STATE, STATE),  # its operand gives the shape
        (lambda x: torch.randn(5, device=x.device), 1, 0, 20),
        (lambda x: x.reshape(2, 6)[1, ::2].unsqueeze(0).detach(), 0, 0, 0),
        (lambda x: torch.empty_like(x), 0, 0, 0),
        (lambda x: x * torch.tensor(2.0), 1, STATE, STATE),  # travels with the launch
        (lambda _: torch.ones(100).sum(), 0, 0, 0),  # on the host
    ],
)
def test_kernels_and_bytes_are_those_counted_by_hand(function, kernels, read, written):
    work = counted(function)
    assert work.kernels.total() == kernels
    if work.kernels.total():
        assert (work.read, work.written) == (read, written)
    assert work.moved == work.read + work.written
    assert (work.uploads, work.uploaded) == (0, 0)


def uses_a_number(x: Tensor) -> None:
    if x.sum() > 0:
        raise AssertionError


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (uses_a_number, "_local_scalar_dense"),
        (lambda x: float(x[0, 0]), "_local_scalar_dense"),
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: x.tolist(), "_local_scalar_dense"),
        (lambda x: x[x > 0], "index"),
        (lambda x: (x > 0).nonzero(), "nonzero"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.unique(), "unique"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: torch.linalg.inv(x[:3]), "check_errors"),
        (lambda x: x.cpu(), "a copy to the host"),
        (lambda x: x.to("cpu", torch.float64), "a copy to the host"),
        (lambda x: torch.empty(4, 3).copy_(x), "a copy to the host"),
        (lambda x: torch.ones(4, 3).to(x.device), "not pinned"),
        (lambda x: torch.ones(4, 3).to(x.device, non_blocking=True), "not pinned"),
        (lambda x: torch.ones(4, 3).pin_memory().to(x.device), "not pinned"),
        (lambda x: x.copy_(torch.ones(4, 3)), "not pinned"),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), "not pinned"),
        (lambda _: torch.from_numpy(np.ones(3)).to("imagined"), "not pinned"),
        (lambda x: x[torch.tensor([0, 1])], "index"),
    ],
)
def test_whatever_waits_is_refused_with_its_place(function, what: str):
    with pytest.raises(DeviceWaitError, match=what) as caught:
        counted(function)
    assert caught.value.place.startswith("test_device_work.py:")


def test_a_pinned_copy_waits_for_nothing_and_is_counted():
    work = counted(lambda x: x.add_(upload(torch.ones(4, 3), x.device, x.dtype)))
    assert (work.uploads, work.uploaded) == (1, STATE)
    assert work.kernels == {"add_": 1}


def test_preparations_are_not_counted_but_must_not_read_back():
    with device_work() as work:
        with work.preparing():
            y = torch.ones(4, 3).to(DEVICE) * 2
        assert y.device == DEVICE
        with work.preparing(), pytest.raises(DeviceWaitError):
            y.sum().item()
        assert (work.kernels.total(), work.uploads) == (0, 0)
        with pytest.raises(DeviceWaitError):
            torch.ones(4, 3).to(DEVICE)


def test_waits_are_counted_by_place_where_they_are_allowed_and_the_host_can_go_on():
    with device_work(may_wait=True) as work:
        x = work.empty(3, 3)
        for _ in range(2):
            x = torch.linalg.solve(x, torch.ones(3, 3).to(x.device))
        x = x + torch.tensor(2.0).to(x.device)
        with pytest.raises(DeviceWaitError, match="_local_scalar_dense"):
            x.sum().item()
    assert work.waits.total() == 5
    assert work.uploads == 3


def test_numbers_that_the_host_has_sent_are_known_and_reading_them_is_counted():
    with device_work(may_wait=True) as work:
        with work.preparing():
            times = torch.tensor([3.0, 2.0, 1.0]).to(imagined())
        for k, t in enumerate(times):
            assert int((times == t).nonzero().item()) == k
            assert float(2 * t + 1) == 2 * (3 - k) + 1
        assert times.cpu().tolist() == [3.0, 2.0, 1.0]
        assert times[times > 1.5].tolist() == [3.0, 2.0]
        assert work.waits.total() >= 3 * 3 + 2


def test_numbers_that_come_to_depend_on_the_samples_are_no_longer_known():
    with device_work(may_wait=True) as work:
        with work.preparing():
            table = torch.tensor([3.0, 2.0, 1.0]).to(imagined())
        table.mul_(2.0)
        assert table.tolist() == [6.0, 4.0, 2.0]
        table[1] += 1.0
        assert table.tolist() == [6.0, 5.0, 2.0]
        sums = table * work.empty(3)
        for unknown in (sums, table.add_(sums), table):
            with pytest.raises(DeviceWaitError):
                unknown.tolist()


def test_memory_is_held_until_the_last_tensor_of_it_dies():
    with device_work() as work:
        x = work.empty(4, 3)
        assert work.held == STATE
        row = (x * 2)[0]
        assert (work.held, work.peak) == (2 * STATE, 2 * STATE)
        x = torch.add(x, 1, out=x)
        assert work.peak == 2 * STATE
        del x
        assert work.held == STATE
        work.mark()
        assert work.peak == STATE
        del row
        assert (work.held, work.peak) == (0, STATE)


def test_what_is_apart_is_counted_apart():
    with device_work() as work:
        x = work.empty(4, 3) * 2
        with work.apart() as aside:
            x = x + 1
            x = x.add_(upload(torch.ones(4, 3), x.device, x.dtype))
        x.neg_()
    assert work.kernels == {"mul": 1, "neg_": 1}
    assert (aside.kernels.total(), aside.uploads, work.uploads) == (2, 1, 0)


def test_the_host_keeps_its_numbers():
    with device_work():
        assert float(torch.tensor([1.0, 2.0]).sum()) == 3.0
        assert torch.from_numpy(np.arange(3)).tolist() == [0, 1, 2]


def test_two_devices_do_not_mix():
    with device_work() as work, pytest.raises(DeviceWaitError, match="add"):
        torch.add(work.empty(3), torch.ones(3))


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, 3),
        slice(None, None, 2),
        (..., 0),
        (slice(None), None, 1),
        (0, ..., slice(1, None)),
        (None, ..., None),
        (1, 2),
        (slice(None), [0, 2]),
        ([0, 1], [1, 2]),
    ],
)
def test_subscripts_have_the_shapes_of_torch(index):
    host = torch.zeros(4, 3)
    with device_work() as work, work.preparing():
        x = work.empty(4, 3)
        assert x[index].shape == host[index].shape
        x[index] = 1.0
        x[index] = torch.ones_like(x[index])


def test_subscripts_by_tensors_of_the_device():
    with device_work() as work:
        x, rows = work.empty(4, 3), work.empty(2, dtype=torch.long)
        assert x[rows].shape == (2, 3)
        assert x[:, rows].shape == (4, 2)
        x[rows] = 0.0
        assert work.kernels.keys() == {"index", "scalar_tensor", "index_put_"}


def test_a_module_is_moved_as_a_copy():
    module = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with device_work() as work, torch.no_grad():
        there = work.moved_module(module)
        assert {v.device for v in there.state_dict().values()} == {DEVICE}
        assert there(work.empty(4, 3)).shape == (4, 5)
    assert work.kernels["addmm"] == 1
    assert work.read >= 4 * (5 * 3 + 5)
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_network_without_a_module_cannot_be_moved():
    with device_work() as work, pytest.raises(AnalysisError, match="has no weights to change"):
        work.moved_network(named_network("gaussian"))

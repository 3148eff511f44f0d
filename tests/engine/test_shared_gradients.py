"""Two gloo processes: gradients of what a pass trains, once a batch, and nothing else on the wire."""

import socket
import weakref

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from fx_d2.engine.locking import apply_lock
from fx_d2.engine.processes import broadcast_weights, no_sync, wrap_distributed
from fx_d2.schedule import Unit
from tests.tiny import make_batch, make_model

PASSES = [("two/cls", "path"), ("two/box", "head"), ("two/box", "path"), ("two/mask", "head"), ("two/mask", "path")]


def counting(sent):
    """A communication hook that averages as DDP does, and notes how many numbers leave."""

    def hook(_, bucket):
        sent.append(bucket.buffer().numel())
        work = dist.all_reduce(bucket.buffer().div_(2), async_op=True).get_future()
        return work.then(lambda done: done.value()[0])

    return hook


def gradients(model, call, batches) -> dict[str, torch.Tensor]:
    """After a forward and backward pass for each of ``batches``, all but the last without an exchange."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    for left, batch in zip(range(len(batches) - 1, -1, -1), batches, strict=True):
        if left:
            with no_sync(call):
                sum(call(batch).values()).backward()
        else:
            sum(call(batch).values()).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in trained.items()}


def worker(rank, port, output):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    comm.create_local_process_group(2)
    model = make_model().train()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.add_(rank)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    broadcast_weights(model)
    found = {"own": own, "shared": {name: value.clone() for name, value in model.state_dict().items()}}
    wrapped = None
    for unit, train in PASSES:
        report = apply_lock(model, model.trainable_parts(Unit.parse(unit), train))
        before = [weakref.ref(wrapped)] if wrapped else []
        wrapped = None
        gone, sent = not any(old() for old in before), []
        wrapped = wrap_distributed(model)
        wrapped.register_comm_hook(None, counting(sent))
        # The second process has no box, so that parameters lie idle there which the first one trains.
        batches = [make_batch(unit, 3 - 2 * rank, seed) for seed in (2 * rank, 2 * rank + 1)]
        expected = gradients(model, model, batches)
        for value in expected.values():
            dist.all_reduce(value.div_(2))
        averaged = gradients(model, wrapped, batches)
        found[unit, train] = {"gone": gone, "sent": sum(sent), "trained": report.trained_parameters}
        found[unit, train] |= {"expected": expected, "own": averaged}
    torch.save(found, output / f"{rank}.pth")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    output = tmp_path_factory.mktemp("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, output), nprocs=2)
    return [torch.load(output / f"{rank}.pth") for rank in range(2)]


def test_all_start_with_the_weights_of_the_first(ranks):
    first, second = ranks
    for name, value in first["own"].items():
        assert not torch.equal(value, second["own"][name])
        assert torch.equal(first["shared"][name], value) and torch.equal(second["shared"][name], value), name


@pytest.mark.parametrize("unit,train", PASSES)
def test_only_what_trains_is_sent_and_once_a_batch(ranks, unit, train):
    for found in ranks:
        assert found[unit, train]["sent"] == found[unit, train]["trained"]


@pytest.mark.parametrize("unit,train", PASSES)
def test_every_process_has_the_mean_of_the_gradients(ranks, unit, train):
    """Against the bare network's gradients, summed over the micro-batches and averaged tensor by tensor."""
    first, second = (found[unit, train] for found in ranks)
    assert first["own"].keys() == first["expected"].keys()
    for name, value in first["own"].items():
        torch.testing.assert_close(value, first["expected"][name], atol=1e-6, rtol=1e-5)
        assert torch.equal(value, second["own"][name]), name


def test_the_wrapper_of_the_last_pass_is_gone(ranks):
    """With its buffers, which are as large as the gradients."""
    assert all(found[key]["gone"] for found in ranks for key in PASSES)

"""What else a user could take: Detectron2's Swin, PyTorch's average, a host loop, decoding without a cache."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch
from detectron2.modeling.backbone.swin import SwinTransformer
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fx_d2.prediction import Predictor

from .clock import interleave, ratio
from .options import Options
from .steps import Bench, kinds


def compared(cases: dict[str, Callable[[], object]], own: str, options: Options, device: torch.device) -> list[dict]:
    """A row for each case: seconds, and how many times as fast ``own`` is."""
    times = interleave(cases, options.repeats, device, options.clock)
    return [
        {"case": name, "times as fast": ratio(times[name], times[own]), "seconds": median(times[name])}
        for name in times
    ]


def backbone_rows(cfg, options: Options) -> list[dict]:
    """Forward and backward pass of our Swin and of Detectron2's, of the same size, stochastic depth off."""
    bench, swin = Bench(cfg, options.batch, options.threads), cfg.MODEL.SWIN
    own = bench.student.backbone.eval()
    other = SwinTransformer(
        patch_size=swin.PATCH_SIZE,
        embed_dim=swin.EMBED_DIM,
        depths=list(swin.DEPTHS),
        num_heads=list(swin.NUM_HEADS),
        window_size=swin.WINDOW_SIZE,
        mlp_ratio=swin.MLP_RATIO,
        drop_path_rate=0.0,
    ).to(bench.device)
    images = torch.randn(options.batch, 3, cfg.INPUT.SIZE, cfg.INPUT.SIZE, device=bench.device)

    def run(network: nn.Module) -> None:
        network.zero_grad(set_to_none=True)
        with bench.precision.autocast():
            maps = network(images)
        sum(x.float().mean() for x in maps.values()).backward()

    return compared({"ours": lambda: run(own), "Detectron2's Swin": lambda: run(other)}, "ours", options, bench.device)


def ema_rows(cfg, options: Options) -> list[dict]:
    """One average of the whole network: ours, PyTorch's, and the host loop over the parameters that is published."""
    bench = Bench(cfg, options.batch, options.threads)
    averaged = AveragedModel(bench.student, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=False)
    averaged.update_parameters(bench.student)  # the first call copies
    student, teacher = list(bench.student.parameters()), list(bench.teacher.model.parameters())

    def loop() -> None:
        with torch.no_grad():
            for t, s in zip(teacher, student, strict=True):
                t.data = t.data * 0.8 + s.data * 0.2

    cases = {
        "ours": lambda: bench.teacher.update(bench.student, 0.8),
        "torch AveragedModel": lambda: averaged.update_parameters(bench.student),
        "host loop": loop,
    }
    return compared(cases, "ours", options, bench.device)


@torch.no_grad()
def inference_rows(cfg, options: Options) -> list[dict]:
    """Predictions of a batch: of each task by the network, of all units as :class:`fx_d2.Predictor` returns them."""
    bench = Bench(cfg, options.batch, options.threads)
    network = bench.student.eval()
    works: dict[str, Callable[[], object]] = {}
    for unit in {kind.unit.task: kind.unit for kind in kinds(cfg)}.values():
        batch = bench.batch(unit)

        def run(batch: list[dict] = batch) -> None:
            with torch.no_grad(), bench.precision.autocast():
                network(batch)

        works[unit.task] = run
    predictor = Predictor.from_network(cfg, network, batch=options.batch)
    images = [entry["image"][0].numpy() for entry in batch]
    works["all units"] = lambda: predictor(images)
    times = interleave(works, options.repeats, bench.device, options.clock)
    return [
        {"task": task, "seconds": median(found), "images/s": options.batch / median(found)}
        for task, found in times.items()
    ]

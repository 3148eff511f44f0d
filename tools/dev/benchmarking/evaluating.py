"""What an evaluation of all units costs beside the cycle of training before it, at the published sizes.

Seconds of training steps, of the networks' inference, of the evaluators and of reading are measured image by image and
multiplied by the published numbers of images. Student and teacher are both evaluated, over one reading of the images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import torch
from detectron2.structures import Boxes, Instances

from fx_d2.config import cycle_passes, cycle_units, unit_metadata
from fx_d2.data.mapper import UnitMapper
from fx_d2.engine.build import prepare
from fx_d2.evaluation import EVALUATORS
from fx_d2.schedule import Pass, Unit

from .clock import interleave
from .loading import CPU, RATES, cached, mapping_work, records_of
from .options import Options
from .published_sizes import published_sizes
from .radiographs import FORMS, make_records
from .steps import Bench, kinds

MODELS = 2
# Images over which an evaluator is timed.
SAMPLE = {"cls": 1000, "box": 200, "mask": 6}


@dataclass(frozen=True)
class Costs:
    """Seconds an image.

    Attributes:
        training: by task and by what the pass trains. inference: of one network, by task. scoring: of the evaluators
        of both networks, by unit. reading: of one core, for training and for evaluation, by unit.
    """

    training: Mapping[tuple[str, str], float]
    inference: Mapping[str, float]
    scoring: Mapping[Unit, float]
    reading: Mapping[Unit, tuple[float, float]]


def share_of_cycle(
    passes: Mapping[str, tuple[Pass, ...]], costs: Costs, split: str, speed: float, cores: int
) -> dict[str, float]:
    """Seconds of a cycle and of an evaluation of ``split``; reading runs beside the networks, scoring does not.

    Args:
        speed: how many times as fast the networks are as they were measured. cores: that read.
    """
    steps = network = scoring = training_reading = reading = 0.0
    for unit in costs.scoring:
        sizes = published_sizes(unit)
        images = getattr(sizes, split)
        lengths = {plan: plan.length(sizes.train) for plan in passes[unit.task]}
        steps += sum(n * costs.training[unit.task, plan.train] for plan, n in lengths.items()) / speed
        training_reading += sum(lengths.values()) * costs.reading[unit][0] / cores
        network += MODELS * images * costs.inference[unit.task] / speed
        scoring += images * costs.scoring[unit]
        reading += images * costs.reading[unit][1] / cores
    training, evaluation = max(steps, training_reading), max(network + scoring, reading)
    parts = {"networks s": network, "scoring s": scoring, "reading s": reading}
    return {"share of the cycle": evaluation / training, "training s": training, "evaluation s": evaluation, **parts}


def share_rows(cfg, options: Options) -> list[dict]:
    """The share for this machine as measured, and for accelerators that train findings at :data:`RATES` and are in all
    else as many times as fast (an assumption); scoring stays as it is, ``DATALOADER.NUM_WORKERS`` cores read."""
    training, inference = network_costs(cfg, options)
    scoring = {unit: evaluator_seconds(cfg, unit, options) for unit in cycle_units(cfg)}
    costs, passes, rows = Costs(training, inference, scoring, reading_costs(cfg, options)), cycle_passes(cfg), []
    findings = training.get(("cls", "path"), next(iter(training.values())))
    for split in (cfg.FX.EVAL.VAL_SPLIT, cfg.FX.EVAL.SPLIT):
        for rate in (1 / findings, *RATES):
            found = share_of_cycle(passes, costs, split, rate * findings, max(1, cfg.DATALOADER.NUM_WORKERS))
            rows.append({"case": f"{split}, {rate:.3g} images/s", **found})
    return rows


def network_costs(cfg, options: Options) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Seconds an image of training, by task and by what a pass trains, and of inference by task."""
    bench = Bench(cfg, options.batch, options.threads)
    training, inference = {}, {}
    for kind in kinds(cfg):
        bench.lock(kind)
        step = partial(bench.step, kind, bench.batch(kind.unit))
        training[kind.unit.task, kind.train] = _timed(bench, options, step)
    network = bench.student.eval()
    for unit in {kind.unit.task: kind.unit for kind in kinds(cfg)}.values():
        form, batch = FORMS[unit.dataset], bench.batch(unit)
        for entry in batch:  # masks are given in the size of the file
            entry["height"], entry["width"] = form.height, form.width

        def infer(batch: list[dict] = batch) -> None:
            with torch.inference_mode(), bench.precision.autocast():
                network(batch)

        inference[unit.task] = _timed(bench, options, infer)
    return training, inference


def _timed(bench: Bench, options: Options, work: Callable[[], object]) -> float:
    return median(interleave({"": work}, options.repeats, bench.device, options.clock)[""]) / options.batch


def evaluator_seconds(cfg, unit: Unit, options: Options) -> float:
    """Seconds an image of the main metrics of :data:`MODELS` models, on :data:`SAMPLE` images."""
    metadata, count = unit_metadata(unit), SAMPLE[unit.task]
    records = make_records(unit, len(metadata.thing_classes), None, count)
    outputs = [_output(unit, record, len(metadata.thing_classes), cfg.MODEL.BOX.TOPK) for record in records[:8]]

    def score() -> None:
        scored = [EVALUATORS[unit.task](records, metadata.thing_classes, metadata.exclusive) for _ in range(MODELS)]
        for number, record in enumerate(records):
            truths = scored[0].truths_of([record])
            for evaluator in scored:
                evaluator.process([record], [outputs[number % len(outputs)]], truths)
        for evaluator in scored:
            evaluator.evaluate()

    return median(interleave({"": score}, options.repeats, CPU, options.clock)[""]) / count


def _output(unit: Unit, record: dict, classes: int, boxes: int) -> dict:
    """A random output of a network."""
    generator = torch.Generator().manual_seed(0)
    height, width = record["height"], record["width"]
    if unit.task == "cls":
        return {"scores": torch.rand(classes, generator=generator)}
    if unit.task == "mask":
        return {"masks": torch.rand(classes, height, width, generator=generator)}
    low = torch.rand(boxes, 2, generator=generator) * min(height, width) / 2
    found = Instances((height, width), pred_boxes=Boxes(torch.cat([low, low + min(height, width) / 4], 1)))
    found.scores = torch.rand(boxes, generator=generator)
    found.pred_classes = torch.randint(0, classes, (boxes,), generator=generator)
    return {"instances": found}


def reading_costs(cfg, options: Options) -> dict[Unit, tuple[float, float]]:
    """Seconds an image of one core from the cache, for training and for evaluation."""
    prepare(cfg)
    cv2.setNumThreads(0)
    costs = {}
    with tempfile.TemporaryDirectory() as name:
        own = cached(cfg, Path(name))
        for unit in cycle_units(cfg):
            records = records_of(unit, Path(name))
            cases = {train: mapping_work(UnitMapper(own, unit, train=train), records) for train in (True, False)}
            times = interleave(cases, options.repeats, CPU, options.clock)
            costs[unit] = tuple(median(times[train]) / len(records) for train in (True, False))
    return costs


def evaluator_rows(cfg, options: Options) -> list[dict]:
    """Each unit's images and the seconds that the evaluators of both models take for them."""
    prepare(cfg)
    rows = []
    for unit in cycle_units(cfg):
        seconds, sizes = evaluator_seconds(cfg, unit, options), published_sizes(unit)
        splits = (cfg.FX.EVAL.VAL_SPLIT, cfg.FX.EVAL.SPLIT)
        images = {split: getattr(sizes, split) for split in splits}
        row = {"case": str(unit), "classes": len(unit_metadata(unit).thing_classes), "training images": sizes.train}
        row |= {f"{split} images": images[split] for split in splits} | {"ms an image": 1000 * seconds}
        rows.append(row | {f"{split} s": images[split] * seconds for split in splits})
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key not in ("case", "classes", "ms an image")}
    return [*rows, {"case": "all", **total}]

"""A run's folder without a network: the files that training and evaluation leave, with made-up predictions."""

import json
from dataclasses import replace

import numpy as np
import yaml
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode

from fx_d2.config import cycle_units, split_name, unit_metadata
from fx_d2.data.catalog import register_datasets
from fx_d2.data.masks import decode_masks
from fx_d2.engine.build import build_schedule
from fx_d2.engine.hooks.run_record import begin_session, count_images, end_session
from fx_d2.evaluation.files import write_manifest, write_table
from fx_d2.evaluation.regions import split_regions
from fx_d2.evaluation.tables import BoxTable, FindingTable, ImageRow, Manifest, MaskTable
from tests.tiny import tiny_config

MODELS = ("student", "teacher")
_CHANGE = {"difference": -0.0125, "low": -0.04, "high": 0.015, "p_value": 0.375, "method": "bootstrap over patients"}
COMPARISON = {"first": "teacher", "second": "student", "metrics": dict.fromkeys(("AUROC", "AP50", "Dice"), _CHANGE)}
MAIN = {"cls": "AUROC", "box": "AP50", "mask": "Dice"}


def many_datasets(cohort, copies):
    """A file that declares the cohort's datasets several times, under other names; returns its units."""
    stored = yaml.safe_load((cohort / "phantoms" / "phantoms.yaml").read_text())["datasets"]
    datasets, units = {}, []
    for copy in range(copies):
        for name, entry in stored.items():
            datasets[f"{name}_{copy}"] = entry
            units += [f"{name}_{copy}/{task}" for task in ("cls", "box", "mask") if task in entry["tasks"]]
    path = cohort / "phantoms" / f"copies_{copies}.yaml"
    path.write_text(yaml.safe_dump({"datasets": datasets}, sort_keys=False))
    return path, units


def make_run(cohort, folder, *, trained=True, scored=True, validated=True, boxes=True, teacher=True, **overrides):
    """Writes the folder and returns its configuration; the datasets are registered."""
    overrides = {"FX.EVAL.AFTER_UNITS": 1, **overrides}
    cfg = tiny_config(cohort, folder, **overrides)
    register_datasets(cfg.DATASETS.FILES)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(cfg.dump())
    units, models = cycle_units(cfg), MODELS if teacher else MODELS[:1]
    rng = np.random.default_rng(0)
    if trained:
        _write_training(cfg, folder, validated, rng)
    if scored:
        if not trained:
            begin_session(folder, "evaluation", "cpu", None, None)
            end_session(folder)
        _write_scores(folder, units, models, rng)
        _write_predictions(folder, units, models, boxes, rng)
    count_images(folder, units, ["train", "val", "test"])
    return cfg


def _write_training(cfg, folder, validated, rng):
    schedule = build_schedule(cfg)
    begin_session(folder, "training", "cpu", 0, schedule)
    end_session(folder, len(schedule))
    rows, between = [], []
    level = dict.fromkeys(map(str, schedule.units), 0.4)
    for iteration in range(len(schedule)):
        slot = schedule.at(iteration)
        loss = {f"{slot.unit}/total_loss": float(2 / (1 + 0.1 * iteration)), "total_loss": 1.0}
        rows.append({"iteration": iteration, "lr": 1e-3, **loss})
        nothing = slot.cycle == 0 and slot.step == 0 and slot.pass_index == 0
        ends = iteration + 1 == len(schedule) or schedule.at(iteration + 1).unit != slot.unit
        if not between:
            between.append(_between(slot.cycle, 0, 0, None, level))
        if ends and not nothing:
            begun = between[-1]["iteration"]
            for name in level:
                level[name] = float(np.clip(level[name] + (0.06 if name == str(slot.unit) else -0.01), 0, 1))
            between.append(_between(slot.cycle, begun, iteration + 1, str(slot.unit), level))
        if validated and (iteration + 1) % schedule.cycle_length == 0:
            for model in MODELS:
                keys = {f"val/{model}/{u}/{MAIN[u.task]}": level[str(u)] for u in schedule.units}
                rows[-1].update(keys, **{f"val/{model}/mean": float(np.mean(list(level.values())))})
    (folder / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if cfg.FX.EVAL.AFTER_UNITS:
        (folder / "unit_scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in between))


def _between(cycle, begun, iteration, after, level):
    scores = {model: dict(level) for model in MODELS}
    return {"cycle": cycle + 1, "after": after, "begun": begun, "iteration": iteration, "scores": scores}


def _write_scores(folder, units, models, rng):
    """Two metrics a unit and class; the first class of every unit is undefined."""
    results, metrics, curves = {}, {}, {}
    for model in models:
        for unit in units:
            classes = unit_metadata(unit).thing_classes
            names = [MAIN[unit.task], "Dice_all" if unit.task == "mask" else "AP"]
            values = {}
            for name in names:
                for index, label in enumerate(["", *classes]):
                    key = f"{name}/{label}" if label else name
                    value = None if index == 1 else float(np.round(rng.uniform(0.5, 0.9), 4))
                    values[key] = value
                    entry = {"value": value, "low": 0.45, "high": 0.95, "method": "bootstrap over patients"}
                    metrics[f"{model}/{unit}/{key}"] = (
                        entry if index != 1 else {"value": None, "reason": "no image has the finding"}
                    )
            results.setdefault(model, {}).setdefault(unit.dataset, {})[unit.task] = values
            curves[f"{model}/{unit}"] = _curves(unit.task, classes[1:], rng)
    details = {"format": 1, "split": "test", "options": {"confidence": 0.95, "froc_iou": 0.5}}
    (folder / "results.json").write_text(json.dumps(results))
    details.update(metrics=metrics, units=curves, comparisons={str(unit): COMPARISON for unit in units})
    (folder / "results_details.json").write_text(json.dumps(details))


def _curves(task, classes, rng):
    steps = np.linspace(0, 1, 30)
    if task == "cls":
        bins = {"low": [0.0, 0.5], "high": [0.5, 1.0], "count": [4, 2], "score": [0.2, 0.7], "frequency": [0.25, 0.5]}
        return {
            "labels": {name: {"positive": 2, "negative": 4, "unknown": 0} for name in classes},
            "roc": {
                name: {"fpr": steps.tolist(), "tpr": (steps**0.4).tolist(), "precision": (1 - steps / 2).tolist()}
                for name in classes
            },
            "reliability": dict.fromkeys(classes, bins),
            "operating_points": {
                name: {"threshold": 0.4, "source": "val", "tp": 2, "fn": 0, "fp": 1, "tn": 3} for name in classes
            },
        }
    if task == "box":
        rates = np.geomspace(0.05, 10, 30)
        curve = {"fp_per_image": rates.tolist(), "sensitivity": (1 - np.exp(-rates)).tolist()}
        regions = {name: {"truths": 5, "images_with": 4, "detections": 9} for name in classes}
        return {"images": 6, "regions": regions, "froc": dict.fromkeys(classes, curve)}
    about = {"positive": 5, "negative": 1, "unknown": 0, "missed": 0, "invented": 1}
    return {"masks": {name: {**about, "dice": np.sort(rng.uniform(0.4, 1, 5)).tolist()} for name in classes}}


def _write_predictions(folder, units, models, boxes, rng):
    about = {}
    for unit in units:
        metadata = unit_metadata(unit)
        records = DatasetCatalog.get(split_name(unit, "test"))
        for model in models:
            table = TABLES[unit.task](records, tuple(metadata.thing_classes), rng)
            if isinstance(table, BoxTable) and not boxes:
                table = replace(table, predictions=np.zeros((0, 7)))
            write_table(folder / "predictions", model, str(unit), "test", table)
        about[str(unit)] = {"classes": list(table.classes), "exclusive": metadata.exclusive, "splits": ["test"]}
    write_manifest(folder / "predictions", Manifest("test", models, about, "val"))


def finding_table(records, classes, rng):
    labels = np.array([record["labels"] for record in records], dtype=np.float64)
    scores = np.clip(0.25 + 0.5 * np.nan_to_num(labels, nan=0.5) + rng.normal(0, 0.2, labels.shape), 0.01, 0.99)
    return FindingTable([ImageRow.from_record(record) for record in records], classes, labels, scores)


def box_table(records, classes, rng):
    """Every true box moved a little, with a sure score, and a false one on every image."""
    truth, found = [], []
    for number, record in enumerate(records):
        for annotation in record["annotations"]:
            box = np.array(BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYWH_ABS))
            truth.append([number, *box, annotation["category_id"], annotation.get("iscrowd", 0)])
            found.append([number, *(box * rng.uniform(0.9, 1.1, 4)), annotation["category_id"], rng.uniform(0.4, 1)])
        found.append([number, 5, 5, 20, 15, 0, rng.uniform(0, 0.6)])
    images = [ImageRow.from_record(record) for record in records]
    return BoxTable(images, classes, np.array(truth).reshape(-1, 7), np.array(found).reshape(-1, 7))


def mask_table(records, classes, rng):
    """Every true mask shifted to the right by a few pixels."""
    truth, found = [], []
    for record in records:
        masks = decode_masks(record, len(classes)) == 1
        truth.append([row for k, mask in enumerate(masks) for row in _whole(mask, k)])
        found.append([row for k, mask in enumerate(masks) for row in split_regions(np.roll(mask, 4, axis=1), k)])
    return MaskTable([ImageRow.from_record(record) for record in records], classes, truth, found)


def _whole(mask, category):
    rows = split_regions(mask, category)
    return rows[:1] if len(rows) <= 1 else rows


TABLES = {"cls": finding_table, "box": box_table, "mask": mask_table}

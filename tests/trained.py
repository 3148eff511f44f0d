"""A tiny run (random weights, saved as training does) and image files, for tests of what comes after training."""

from types import SimpleNamespace

import torch
from detectron2.modeling import build_model

from fx_d2.data.catalog import clear_datasets, register_datasets
from fx_d2.engine.checkpoint import FXCheckpointer
from fx_d2.modeling import ModelEMA
from tests.tiny import tiny_config

UNITS = [
    "phantom_screen/cls",
    "phantom_emergency/cls",
    "phantom_heart/cls",
    "phantom_heart/box",
    "phantom_emergency/box",
    "phantom_heart/mask",
]


def write_run(cohort, folder) -> SimpleNamespace:
    """``config`` (file), ``weights``, ``images`` (paths) and ``cfg``; the teacher differs from the student."""
    cfg = tiny_config(cohort, folder, **{"FX.CYCLE.UNITS": UNITS})
    (folder / "config.yaml").write_text(cfg.dump())
    clear_datasets()
    register_datasets(cfg.DATASETS.FILES)
    torch.manual_seed(0)
    student = build_model(cfg)
    teacher = ModelEMA(student)
    teacher.copy_from(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(0.7)
    FXCheckpointer(student, teacher, str(folder)).save("model_final", iteration=1)
    clear_datasets()
    images = sorted((cohort / "phantoms" / "phantom_heart" / "images").iterdir())[:3]
    images += sorted((cohort / "phantoms" / "phantom_ward" / "images").rglob("*.png"))[:2]
    return SimpleNamespace(
        cfg=cfg, config=str(folder / "config.yaml"), weights=str(folder / "model_final.pth"), images=images
    )

"""What holds for a configuration of Detectron2 holds for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.tiny import tiny_config

BUILD = """
import sys
from fx_d2.config import get_fx_cfg
cfg = get_fx_cfg()
cfg.merge_from_file(sys.argv[1])
from detectron2.modeling import build_model
from detectron2.data import DatasetCatalog, MetadataCatalog
for name in ("mine_cls_train", "mine_box_train"):  # by hand: nothing else of the package is imported
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(thing_classes=["Nodule", "Mass"], exclusive=False)
model = build_model(cfg)
print(type(model).__module__, *sorted(map(str, model.classes)), model.heads["cls"].branches["mine"].weight.shape[0])
"""


def test_build_model_needs_no_other_import(tmp_path):
    cfg = tiny_config(tmp_path, tmp_path, **{"FX.CYCLE.UNITS": ["mine/cls", "mine/box"], "DATASETS.FILES": []})
    (tmp_path / "mine.yaml").write_text(cfg.dump())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", "-c", BUILD, str(tmp_path / "mine.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["fx_d2.modeling.foundation_x", "mine/box", "mine/cls", "2"], done.stderr[-2000:]

"""The published configuration over fake trees of all its datasets: what these share, planted mistakes and leaks."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from fx_d2 import get_fx_cfg
from fx_d2.config import cycle_units
from fx_d2.data.catalog import clear_datasets, register_datasets
from fx_d2.inspection import Options, check_data
from fx_d2.inspection.report import LEAKS, PROBLEMS
from fx_d2.phantoms.trees import TREES, pictures, write_tree
from fx_d2.schedule import Unit

CONFIG = Path(__file__).parents[2] / "configs" / "foundation_x_swin_b.yaml"

# What the trees share by themselves, because the sets that they imitate do: three films of ChestX-ray14 that NODE21's
# table names, one patient each; two of them are training images here and test images there.
BY_ITSELF = {
    ("nih_cxr14 train", "node21 test", "patient", True, 1),
    ("nih_cxr14 train", "node21 test", "name map", True, 2),
    ("nih_cxr14 train", "node21 train", "patient", False, 1),
    ("nih_cxr14 train", "node21 train", "name map", False, 1),
    ("nih_cxr14 val", "node21 val", "patient", False, 1),
    ("nih_cxr14 val", "node21 val", "name map", False, 1),
}


TARGETS = ("vindr_cxr/box", "chexmask_vindr/box", "chexmask_vindr/mask", "vindr_ribcxr/mask", "montgomery/cls",
           "montgomery/mask", "jsrt/cls", "jsrt/box", "jsrt/mask", "node21/box")  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for name in TREES:
        write_tree(name, folder)
    return folder


@pytest.fixture
def check(root, tmp_path_factory, monkeypatch, fresh_catalog):
    """``check()`` checks all units of the configuration; what was measured before is remembered."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(CONFIG))
    cache = root / "cache.sqlite"
    every = cycle_units(cfg)
    return lambda units=every: check_data(units, [], Options(cache=cache), cfg.DATASETS.OPTIONS)


def found(report):
    return {(" ".join(o.first), " ".join(o.second), o.by, o.leak, len(o.pairs)) for o in report.overlaps}


def film(name, split, number=0, task="cls"):
    """The file of an image of a split."""
    return Path(DatasetCatalog.get(f"{name}_{task}_{split}")[number]["file_name"])


def test_the_trees_are_sound_and_share_what_the_sets_share(check):
    report = check()
    assert report.problems == [] and report.exit_code == LEAKS
    assert found(report) == BY_ITSELF
    assert len(report.datasets) == 11
    bits = {
        name: {b for one in facts["splits"].values() for b in one["bits"]} for name, facts in report.datasets.items()
    }
    assert bits["nih_cxr14"] == {"8"} and bits["node21"] == {"16"} and "12" in bits["vindr_cxr"]
    for facts in report.datasets.values():
        for split in facts["splits"].values():
            assert (
                split["files"]["expected"] == split["files"]["found"] == split["images"] == split["pixels_checked"] > 0
            )


def test_the_target_sets_are_sound_and_share_what_the_sets_share(check, root):
    report = check([Unit.parse(name) for name in TARGETS])
    assert report.problems == []
    # CheXmask annotates VinDr-CXR's images; NODE21 has one nodule film of JSRT.
    assert {(first, second, by, leak) for first, second, by, leak, _ in found(report)} == {
        *((f"vindr_cxr {split}", f"chexmask_vindr {split}", "file", False) for split in ("train", "val", "test")),
        ("jsrt train", "node21 test", "name map", True),
    }
    left = report.datasets["montgomery"]["splits"]["train"]["tasks"]["mask"]["masks"]["Left Lung"]
    inside = [float((np.asarray(Image.open(path)) > 0).mean()) for path in root.glob("MontgomerySet/*/leftMask/*.png")]
    assert left["measured"] == left["annotations"] > 0
    assert min(inside) <= left["share"]["min"] <= left["share"]["max"] <= max(inside)


def test_planted_mistakes_and_leaks_are_found_and_nothing_else(check, root, monkeypatch):
    register_datasets()
    source, other = film("nih_cxr14", "train"), film("nih_cxr14", "test")
    leaked, darker = film("siim_acr", "test"), film("chestx_det", "train")
    damaged, gone = film("vindr_cxr", "train", 1), film("mimic_cxr", "train", 2)
    # A ChestX-ray14 training film as a JPEG-compressed DICOM file of SIIM-ACR's test split, and one of its test split
    # with another gamma among ChestX-Det's training images.
    seed = pictures.seed_of(source)
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "seed_of", lambda path: seed)
        pictures.write_dicom(leaked, 1024, 1024, jpeg=True)
    image = cv2.imread(str(other), cv2.IMREAD_GRAYSCALE)
    assert cv2.imwrite(str(darker), np.rint((image / 255.0) ** 1.5 * 255).astype(np.uint8))
    damaged.write_bytes(damaged.read_bytes()[:-3000])
    gone.unlink()
    shutil.rmtree(root / "ChinaSet_AllFiles")
    clear_datasets()

    report = check()
    assert report.exit_code == PROBLEMS
    planted = {
        ("nih_cxr14 train", "siim_acr test", "pixels", True, 1),
        ("chestx_det train", "nih_cxr14 test", "pixels", True, 1),
    }
    assert found(report) == BY_ITSELF | planted
    leak = next(one for one in report.overlaps if one.second == ("siim_acr", "test"))
    assert (leak.pairs[0].first_file, leak.pairs[0].second_file) == (str(source), str(leaked))
    problems = {problem.dataset: problem for problem in report.problems}
    assert len(report.problems) == 3 and set(problems) == {"shenzhen", "mimic_cxr", "vindr_cxr"}
    assert problems["shenzhen"].place == "shenzhen/cls train, val, test"
    assert re.match(r"1 of \d+ listed images have no file; .*" + gone.stem, problems["mimic_cxr"].message)
    assert (problems["vindr_cxr"].file, problems["vindr_cxr"].split) == (str(damaged), "train")
    assert "shenzhen" not in report.datasets and report.datasets["mimic_cxr"]["splits"]["train"]["files"]["found"] > 0

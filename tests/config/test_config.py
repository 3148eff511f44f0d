"""Every configuration file loads, and what single keys cannot say is checked with a clear message."""

import re
import shutil
from pathlib import Path

import pytest
from detectron2.config import get_cfg

import fx_d2
from fx_d2 import get_fx_cfg, register_datasets
from fx_d2.config import cycle_passes, cycle_units, unit_metadata
from fx_d2.config.check import check_config
from fx_d2.config.inherited import READ, check_inherited, keys
from fx_d2.phantoms.cohort import write_cohort
from fx_d2.schedule import Pass, Unit

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real_cxr" / "shared_part"
CONFIGS = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name not in ("ablation", "external")
)

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def load(name="foundation_x_swin_b.yaml", *pairs):
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(ROOT / "configs" / name))
    cfg.merge_from_list(list(pairs))
    register_datasets()
    return cfg


@pytest.fixture
def real_root(tmp_path):
    """A data root with the real radiographs, as datasets/real_radiographs.yaml expects it."""
    if not REAL.is_dir():
        pytest.skip(f"the real radiographs are not at {REAL}")
    for name in ("covid_cxr", "nih_cxr14"):
        (tmp_path / name).symlink_to(REAL / name)
    shutil.copy(ROOT / "datasets" / "real_radiographs.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def pretraining_root(tmp_path):
    write_cohort(tmp_path, images={"train": 2, "val": 1, "test": 1}, size=64, preset="pretraining")
    return tmp_path


ROOTS = {"real_radiographs": "real_root", "synthetic_pretraining": "pretraining_root"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_file_loads_and_is_checked(path, monkeypatch, request):
    root = request.getfixturevalue(ROOTS.get(path.stem, "cohort"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    # Nothing is found by accident in the working folder.
    monkeypatch.chdir(root)
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(path))
    register_datasets(cfg.DATASETS.FILES)
    check_config(cfg)
    assert cycle_units(cfg)


def test_the_published_cycle():
    """Twenty units, 29 passes: 11 cls once, 6 box and 3 mask Locked then Released."""
    cfg = load()
    units, passes = cycle_units(cfg), cycle_passes(cfg)
    assert [sum(unit.task == task for unit in units) for task in ("cls", "box", "mask")] == [11, 6, 3]
    assert sum(len(passes[unit.task]) for unit in units) == 29
    assert passes["box"] == (Pass(train="head", fraction=0.5), Pass(train="path", fraction=1.0))
    assert units[0] == Unit("chexpert", "cls") and units[6] == Unit("tbx11k", "box") and units[-1].task == "mask"
    assert len(unit_metadata(Unit("chestx_det", "box")).thing_classes) == 13
    assert unit_metadata(Unit("rsna_pneumonia", "cls")).exclusive
    plus = load("foundation_x_plus_swin_b.yaml")
    assert sum(len(cycle_passes(plus)[unit.task]) for unit in cycle_units(plus)) == 40


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["FX.CYCLE.UNITS", ["node12/box"]], "unknown unit 'node12/box', did you mean 'node21/box'"),
        (["FX.CYCLE.UNITS", ["node21"]], "dataset/task"),
        (["FX.CYCLE.UNITS", []], "FX.CYCLE.UNITS is empty"),
        (["FX.CYCLE.BOX", [{"train": "head", "fractoin": 0.5}]], "FX.CYCLE.BOX.*did you mean 'fraction'"),
        (["FX.CYCLE.MASK", [{"train": "heads"}]], "FX.CYCLE.MASK.*'head'"),
        (["MODEL.BOX.LAYOUT", "sharde"], "MODEL.BOX.LAYOUT must be one of per_dataset, shared"),
        (["MODEL.BOX.SAMPLING", "cuda"], "MODEL.BOX.SAMPLING must be one of auto, plain, triton"),
        (["MODEL.BOX.SAMPLING", "triton", "MODEL.DEVICE", "cpu"], "SAMPLING triton needs MODEL.DEVICE cuda.*plain"),
        (
            ["FX.DETERMINISTIC", True, "FX.COMPILE", "default", "MODEL.DEVICE", "cuda"],
            "DETERMINISTIC.*set FX.COMPILE ''",
        ),
        (
            ["FX.DETERMINISTIC", True, "MODEL.BOX.SAMPLING", "plain", "MODEL.DEVICE", "cuda"],
            "set MODEL.BOX.SAMPLING auto",
        ),
        (["FX.COMPILE", "reduce-overhead"], "FX.COMPILE must be one of '' .none., default"),
        (["FX.TEACHER.MOMENTUM", 1.5], "FX.TEACHER.MOMENTUM must lie in"),
        (["FX.TEACHER.UPDATE", "epoch"], "FX.TEACHER.UPDATE must be one of pass, iteration"),
        (["SOLVER.MAX_ITER", 1000], "SOLVER.MAX_ITER has no effect in fx_d2; use FX.CYCLE.COUNT"),
        (["FX.EVAL.BEST", "teacher/node21/bxo/AP50"], "FX.EVAL.BEST"),
        (["MODEL.BACKBONE.FREEZE_AT", 3], "MODEL.BACKBONE.FREEZE_AT has no effect in fx_d2; use FX.FINETUNE head"),
        (["SOLVER.CLIP_GRADIENTS.ENABLED", True], "use SOLVER.CLIP_NORM.CLS"),
        (["MODEL.PIXEL_MEAN", [1.0, 2.0, 3.0]], "use MODEL.PIXEL.CLS.MEAN"),
        (["TEST.DETECTIONS_PER_IMAGE", 50], "use MODEL.BOX.TOPK"),
        (["TEST.AUG.ENABLED", True], "TEST.AUG.ENABLED has no effect in fx_d2; leave it at False"),
        (["SOLVER.BASE_LR_END", 1e-6], "cosine, which ends at 0"),
        (["SOLVER.WEIGHT_DECAY_NORM", 0.1], "use SOLVER.WEIGHT_DECAY;"),
        (["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"], "use FX.CYCLE, which gives the order"),
        (["SOLVER.WARMUP_ITERS", 5], "use SOLVER.WARMUP_FRACTION"),
        (["DATASETS.TRAIN", ("a",)], "DATASETS.TRAIN has no effect in fx_d2; use FX.CYCLE.UNITS"),
        (["FX.EVAL.BEST", "best"], "FX.EVAL.BEST"),
        (["MODEL.MASK.GATE.WHEN", "test"], "MODEL.MASK.GATE.WHEN must be one of off, train, always"),
        (["FX.CYCLE.ORDER", "mixed", "FX.EVAL.AFTER_UNITS", 1], "set FX.EVAL.AFTER_UNITS 0"),
        (["MODEL.MASK.GATE.GROWTH", 0.5], "MODEL.MASK.GATE.GROWTH must lie in"),
        (
            ["MODEL.MASK.GATE.WHEN", "train", "FX.CYCLE.UNITS", ["siim_acr/mask", "candid_ptx/box", "candid_ptx/mask"]],
            "siim_acr/mask has none in the cycle: add siim_acr/box to FX.CYCLE.UNITS, or set .*WHEN off",
        ),
    ],
)
def test_one_message_names_the_key_and_the_fix(pairs, message):
    with pytest.raises(ValueError, match=message):
        check_config(load("foundation_x_swin_b.yaml", *pairs))


def test_every_inherited_key_that_is_read_is_listed():
    """By the source: ``cfg.A.B``, or ``name.B`` after ``name = cfg.A``; and what Detectron2's functions read for us."""
    root = Path(fx_d2.__file__).parent
    found = {"VERSION", "CUDNN_BENCHMARK", "MODEL.BACKBONE.NAME"}  # CfgNode, default_setup, build_backbone
    names = {key for key, _ in keys(get_cfg())}
    for path in [*root.rglob("*.py"), *(root.parent / "tools").glob("*.py")]:
        if path.parent.name == "config":
            continue
        text = path.read_text()
        for alias, node in re.findall(r"(\w+) = (?:self\.)?cfg\.([A-Z][A-Z_.]*[A-Z])$", text, flags=re.MULTILINE):
            text = re.sub(rf"\b{alias}\.(?=[A-Z])", f"cfg.{node}.", text)
        found |= names & set(re.findall(r"\bcfg\.([A-Z][A-Z_.]*[A-Z])\b(?! = )", text))
    assert found == READ | {"DATASETS.TEST", "INPUT.FORMAT"}  # of Detectron2's predictor; a training refuses them


def test_a_default_run_and_its_own_file_pass(tmp_path):
    """What Detectron2 writes as config.yaml holds every key."""
    cfg = load("foundation_x_swin_b.yaml")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    again = get_fx_cfg()
    again.merge_from_file(str(tmp_path / "config.yaml"))
    check_inherited(again)

"""Merging of configurations: what Detectron2 does, safe files, one message per mistake."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg

from fx_d2 import get_fx_cfg


@pytest.fixture
def write(tmp_path):
    def write(text, name="my.yaml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_values_and_bases_come_out_as_in_detectron2(write):
    write("SOLVER: {BASE_LR: 1e-3, IMS_PER_BATCH: 4}\nOUTPUT_DIR: base", "base.yaml")
    write("INPUT: {FORMAT: L}\nOUTPUT_DIR: other", "other.yaml")
    path = write(
        "_BASE_: [base.yaml, other.yaml]\nSOLVER: {IMS_PER_BATCH: 8, STEPS: [1, 2]}\nTEST: {AUG: {FLIP: false}}"
    )
    ours, theirs = get_fx_cfg(), get_cfg()
    pairs = ["SOLVER.GAMMA", "0.5", "OUTPUT_DIR", "x", "INPUT.CROP.SIZE", "[0.5, 0.5]", "MODEL.WEIGHTS", ""]
    for cfg in (ours, theirs):
        cfg.merge_from_file(path)
        cfg.merge_from_list(pairs)
    for key in ("BASE_LR", "IMS_PER_BATCH", "STEPS", "GAMMA"):
        assert ours.SOLVER[key] == theirs.SOLVER[key] and type(ours.SOLVER[key]) is type(theirs.SOLVER[key]), key
    assert ours.INPUT.CROP.SIZE == theirs.INPUT.CROP.SIZE and ours.INPUT.FORMAT == "L"
    assert (ours.OUTPUT_DIR, ours.SOLVER.BASE_LR, ours.SOLVER.IMS_PER_BATCH) == ("x", 1e-3, 8)


def test_a_dump_is_read_back(write):
    cfg = get_fx_cfg()
    cfg.merge_from_list(["FX.CYCLE.UNITS", "['a/cls']", "SOLVER.BASE_LR", 1])
    again, third = get_fx_cfg(), get_fx_cfg()
    again.merge_from_file(write(cfg.dump()))
    third.merge_from_file(write(again.dump()))
    assert third == again and list(again.FX.CYCLE.UNITS) == ["a/cls"]
    assert again.SOLVER.BASE_LR == 1.0 and isinstance(again.SOLVER.BASE_LR, float)


def test_text_stays_text():
    cfg = get_fx_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", "2024", "MODEL.WEIGHTS", '"a b"'])
    assert (cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS) == ("2024", "a b")


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['touch {}']", "!!python/name:os.system", "!!python/tuple [1]"]
)
def test_a_file_runs_no_code(write, tmp_path, tag):
    target = tmp_path / "exploded"
    path = write(f"OUTPUT_DIR: {tag.format(target)}")
    with pytest.raises(ValueError, match="my.yaml, line 1: not valid YAML: could not determine a constructor"):
        get_fx_cfg().merge_from_file(path)
    with pytest.raises(ValueError, match="allow_unsafe"):
        get_fx_cfg().merge_from_file(path, allow_unsafe=True)
    assert not target.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FX: {CYCLE: {COUTN: 3}}", r"my.yaml: unknown key 'FX.CYCLE.COUTN'; did you mean 'FX.CYCLE.COUNT'"),
        ("CYCLE: {COUNT: 3}", r"unknown key 'CYCLE'; did you mean 'FX.CYCLE'"),
        ("SOLVER: {BASE_LR: fast}", r"SOLVER.BASE_LR must be a number \(such as 0.0001\), not 'fast'"),
        ("SOLVER: {IMS_PER_BATCH: 2.5}", "SOLVER.IMS_PER_BATCH must be a whole number"),
        ("SOLVER: 3", "SOLVER is a group of keys"),
        ("- 1", "a configuration is a mapping of keys"),
        ("", "a configuration is a mapping of keys"),
        ("SOLVER: {\n", "my.yaml, line 2: not valid YAML"),
        ("SEED: 1\nSEED: 2", "my.yaml, line 2: key 'SEED' is written twice"),
        ("OUTPUT_DIR: 2021-99-99", "not valid YAML"),
        ("OUTPUT_DIR: !!int []", "not valid YAML"),
        ("SEED: '" + "(" * 3000 + "'", "SEED"),
        ("[" * 3000, "nested too deeply"),
        ("_BASE_: my.yaml", "is a base of itself"),
        ("_BASE_: none.yaml", "none.yaml: no such file"),
        ("_BASE_: http://example.com/x.yaml", "is not a file on disk"),
        ("_BASE_: [3]", "is not a file on disk"),
    ],
)
def test_one_message_names_file_key_and_fix(write, text, message):
    with pytest.raises(ValueError, match=message) as error:
        get_fx_cfg().merge_from_file(write(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["FX.CYCLE.COUTN", "3"], "unknown key 'FX.CYCLE.COUTN'; did you mean 'FX.CYCLE.COUNT'"),
        (["FX.CYCLE.COUNT"], "'FX.CYCLE.COUNT' has no value"),
        (["FX.CYCLE.COUNT.X", "3"], "FX.CYCLE.COUNT must be a whole number"),
        (["_BASE_", "x.yaml"], "unknown key"),
    ],
)
def test_pairs(pairs, message):
    with pytest.raises(ValueError, match=message):
        get_fx_cfg().merge_from_list(pairs)


def test_frozen():
    cfg = get_fx_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["SEED", 1])
    copy = cfg.clone()
    copy.defrost()
    copy.merge_from_list(["SEED", 1])
    assert (cfg.SEED, copy.SEED) == (0, 1)


def test_every_configuration_of_the_repository_is_a_mapping():
    for path in (Path(__file__).parents[2] / "configs").rglob("*.yaml"):
        if path.parent.name not in ("ablation", "external"):  # plans: fx_d2/ablation/plan.py, fx_d2/external/plan.py
            get_fx_cfg().merge_from_file(path)

"""The network against recorded outputs of the published one; skipped where the recording is not there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parity import verify_folder
from parity.recording import Recording

# Beside the project, where the development material is.
FOLDER = Path(__file__).parents[4] / "shared" / "reference"
needs_recording = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded outputs are not beside the project")


@needs_recording
def test_every_recorded_output():
    recording, report = verify_folder(FOLDER)
    assert [line for line in recording.lines if not line.fine] == []
    assert recording.leftovers() == []
    assert len(recording.lines) > 900
    assert report.names("missing") == [] and report.names("resized") == []


PLUS = FOLDER.with_name("reference_plus")


@pytest.mark.skipif(not PLUS.is_dir(), reason="the recorded outputs are not beside the project")
def test_every_recorded_output_of_foundation_x_plus(tmp_path):
    recording, report = verify_folder(PLUS)
    assert [line for line in recording.lines if not line.fine] == []
    assert recording.leftovers() == [] and len(recording.lines) == 103
    assert report.names("missing") == [] and report.names("resized") == []
    folder = tmp_path / "recording"
    shutil.copytree(PLUS, folder)
    folder.chmod(0o755)
    with np.load(PLUS / "outputs.npz") as file:
        arrays = {key: file[key] for key in file.files}
    changed = {"gate/several/factor_stage2", "gate/one/logits_head4_stride4", "localization/d3/post_boxes"}
    for name in changed:
        arrays[name] = arrays[name] + 3e-2 * (1 + np.abs(arrays[name]))
    (folder / "outputs.npz").unlink()
    np.savez(folder / "outputs.npz", **arrays)
    found = {line.name for line in verify_folder(folder)[0].lines if not line.fine}
    assert found == {f"outputs/{name}" for name in changed}


# One array or number of every file, changed by a little more than is allowed.
CHANGED = {
    "backbone": "rect/stage2_raw",
    "classification": "odd/logits_head6",
    "segmentation": "square/consistency_fpn",
    "localization": "ragged/d5/references",
    "criterion": "tiny/last_cost",
    "denoising": "many/known_boxes_noised",
    "training": "train/dn_aux0_pred_boxes",
}


@needs_recording
def test_changes_are_found(tmp_path):
    folder = tmp_path / "recording"
    shutil.copytree(FOLDER, folder)
    folder.chmod(0o755)
    for table, name in CHANGED.items():
        with np.load(FOLDER / f"{table}.npz") as file:
            arrays = {key: file[key] for key in file.files}
        arrays[name] = arrays[name] + 3e-4 * (1 + np.abs(arrays[name]))
        (folder / f"{table}.npz").unlink()
        np.savez(folder / f"{table}.npz", **arrays)
    facts = json.loads((FOLDER / "training.json").read_text())
    facts["passes"]["segmentation_locked"]["changed_names"].append("backbone.0.norm.weight")
    facts["passes"]["localization_locked"]["gradient_norm_before_clipping"] *= 1.01
    (folder / "training.json").unlink()
    (folder / "training.json").write_text(json.dumps(facts))
    recording, _ = verify_folder(folder)
    found = {line.name for line in recording.lines if not line.fine}
    assert found == {f"{table}/{name}" for table, name in CHANGED.items()} | {
        "training.json/segmentation_locked/changed_names",
        "training.json/localization_locked/gradient_norm_before_clipping",
    }


def test_a_folder_without_recording(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json; it is no folder of recorded outputs"):
        Recording(tmp_path)

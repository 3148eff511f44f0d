"""Fake trees of the challenges: RSNA Pneumonia, ChestX-Det, SIIM-ACR, CANDID-PTX, NODE21, TBX11K."""

from __future__ import annotations

import json
from pathlib import Path

from .pictures import write_dicom, write_picture, write_text


def write_rsna_pneumonia(root: Path) -> Path:
    """Rows a box, the class table repeats them; unlabelled test images; the organisers' map to ChestX-ray14."""
    folder = root / "rsna-pneumonia-detection-challenge"
    ids = [f"{n:08x}-14fd-4e49-80ba-63a80b6bddd6" for n in range(24)]
    boxes, classes = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for number, name in enumerate(ids):
        if number % 3 == 0:
            boxes += [f"{name},264.0,152.0,213.0,379.0,1", f"{name},562.0,152.0,256.0,453.0,1"]
            classes += [f"{name},Lung Opacity"] * 2
        else:
            boxes.append(f"{name},,,,,0")
            classes.append(f"{name},{'Normal' if number % 3 == 1 else 'No Lung Opacity / Not Normal'}")
        write_dicom(folder / "stage_2_train_images" / f"{name}.dcm", 1024, 1024, jpeg=True)
    write_text(folder / "stage_2_train_labels.csv", "\n".join(boxes) + "\n")
    write_text(folder / "stage_2_detailed_class_info.csv", "\n".join(classes) + "\n")
    # Two images of each NIH patient, so that a split that takes patientId for a patient is seen to be wrong.
    entries = [{"img_id": f"{100 + n // 2:08d}_{n % 2:03d}.png", "subset_img_id": name} for n, name in enumerate(ids)]
    write_text(folder / "pneumonia-challenge-dataset-mappings_2018.json", json.dumps(entries))
    write_dicom(folder / "stage_2_test_images" / "0000a175-0e68-4ca4-b1af-167204a7e0bc.dcm", 1024, 1024, jpeg=True)
    write_text(folder / "stage_2_sample_submission.csv", "patientId,PredictionString\n0000a175,0.5 0 0 100 100\n")
    return folder


def write_chestx_det(root: Path) -> Path:
    """A list, not COCO; parallel arrays; images with empty lists; folders named as the zips are."""
    folder = root / "ChestX-Det-Dataset"
    heart = [[420, 500], [620, 500], [700, 640], [560, 720], [400, 620]]
    nodule = [[240, 666], [258, 672], [250, 693], [233, 680]]
    train = [
        {"file_name": "36199.png", "syms": [], "boxes": [], "polygons": []},
        {
            "file_name": "36204.png",
            "syms": ["Cardiomegaly", "Nodule"],
            "boxes": [[400, 500, 700, 720], [233, 666, 258, 693]],
            "polygons": [heart, nodule],
        },
    ]
    one = {"syms": ["Pleural Thickening"], "boxes": [[233, 666, 258, 693]], "polygons": [nodule]}
    train += [{"file_name": f"{36300 + n}.png", **one} for n in range(8)]
    test = [
        {"file_name": "39524.png", "syms": ["Diffuse Nodule"], "boxes": [[233, 666, 258, 693]], "polygons": [nodule]},
        {"file_name": "39525.png", "syms": [], "boxes": [], "polygons": []},
    ]
    for part, entries in (("train", train), ("test", test)):
        write_text(folder / f"ChestX_Det_{part}.json", json.dumps(entries))
        for entry in entries:
            write_picture(folder / f"{part}_data" / str(entry["file_name"]), 1024, 1024)
    return folder

"""Fake trees of the sets of boxes: RSNA Pneumonia, ChestX-Det, NODE21, TBX11K."""

from __future__ import annotations

import json
from pathlib import Path

from .pictures import write_dicom, write_mha, write_picture, write_text


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
    train: list[dict] = [
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
    test: list[dict] = [
        {"file_name": "39524.png", "syms": ["Diffuse Nodule"], "boxes": [[233, 666, 258, 693]], "polygons": [nodule]},
        {"file_name": "39525.png", "syms": [], "boxes": [], "polygons": []},
    ]
    for part, entries in (("train", train), ("test", test)):
        write_text(folder / f"ChestX_Det_{part}.json", json.dumps(entries))
        for entry in entries:
            write_picture(folder / f"{part}_data" / entry["file_name"], 1024, 1024)
    return folder


def write_node21(root: Path) -> Path:
    """An unnamed first column, height before width, the misspelt folder, originals beside it, zeros for no nodule."""
    folder = root / "node21" / "cxr_images"
    rows = [",height,img_name,label,width,x,y"]
    for n in range(1, 9):
        rows.append(f"{len(rows) - 1},60,n{n:04d}.mha,1,70,640,500")
        if n == 2:  # a second nodule
            rows.append(f"{len(rows) - 1},31,n{n:04d}.mha,1,33,200,410")
        rows.append(f"{len(rows) - 1},0,c{n:04d}.mha,0,0,0,0")
        for kind in "nc":
            write_mha(folder / "proccessed_data" / "images" / f"{kind}{n:04d}.mha", 1024, 1024, compressed=n % 2 == 0)
    write_text(folder / "proccessed_data" / "metadata.csv", "\n".join(rows) + "\n")
    origin = ["orig_dataset,orig_img_id,node21_img_id"]
    origin += [f"ChestX-ray14,{n // 2:08d}_{n % 2:03d}.png,n{n:04d}.mha" for n in range(1, 7)]
    origin += ["JSRT,JPCLN001.IMG,n0007.mha", "PadChest,2169_115.png,n0008.mha"]
    write_text(folder / "original_data" / "filenames_orig_and_new.csv", "\n".join(origin) + "\n")
    write_mha(folder / "original_data" / "images" / "n0001.mha", 300, 280)
    return root / "node21"


_CATEGORIES = [
    {"id": 1, "name": "ActiveTuberculosis", "supercategory": "Tuberculosis"},
    {"id": 2, "name": "ObsoletePulmonaryTuberculosis", "supercategory": "Tuberculosis"},
    {"id": 3, "name": "PulmonaryTuberculosis", "supercategory": "Tuberculosis"},
]


def write_tbx11k(root: Path) -> Path:
    """COCO files without segmentation, a TB image without a box, XML in another frame, test and extra images."""
    folder = root / "TBX11K"
    parts = {
        "train": ["health/h0001.png", "sick/s0001.png", "tb/tb0001.png", "tb/tb0002.png", "tb/tb1199.png"],
        "val": ["health/h0002.png", "sick/s0002.png", "tb/tb0003.png"],
    }
    boxes = {
        "tb/tb0001.png": [(1, [100.5, 120.25, 80.0, 60.0]), (2, [300.0, 110.0, 40.5, 50.5])],
        "tb/tb0002.png": [(2, [280.0, 90.0, 60.0, 70.0])],
        "tb/tb0003.png": [(1, [90.0, 100.0, 100.0, 120.0])],
    }
    for part, names in parts.items():
        images = [
            {"id": n, "file_name": name, "width": 512, "height": 512, "license": 1, "coco_url": "", "flickr_url": ""}
            for n, name in enumerate(names, start=1)
        ]
        found = [(n, *entry) for n, name in enumerate(names, start=1) for entry in boxes.get(name, ())]
        annotations = [
            {"id": k, "image_id": n, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for k, (n, category, box) in enumerate(found, start=1)
        ]
        content = {"categories": _CATEGORIES, "images": images, "annotations": annotations}
        write_text(folder / "annotations" / "json" / f"TBX11K_{part}.json", json.dumps(content))
        write_text(folder / "lists" / f"TBX11K_{part}.txt", "\n".join(names) + "\n")
        for name in names:
            write_picture(folder / "imgs" / name, 512, 512, "RGB")
    xml = "<annotation><size><width>2300</width></size><object><bndbox><xmin>451</xmin></bndbox></object></annotation>"
    write_text(folder / "annotations" / "xml" / "tb0001.xml", xml)
    for name in ("test/0001.png", "extra/da/p_1.png", "extra/Shenzhen/CHNCXR_0001_0.png"):
        write_picture(folder / "imgs" / name, 512, 512)
    return folder

"""Fake trees of the sets of image-level findings."""

from __future__ import annotations

from pathlib import Path

from .pictures import write_picture, write_text

_CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def write_chexpert(root: Path) -> Path:
    """The small edition, its test labels (without view columns), a leftover of a broken download.

    Rows: devices alone; a lateral with a blank AP/PA; -1 and blanks; a patient of two studies; unknown sex, age 0.
    """
    folder = root / "CheXpert-v1.0-small"
    rows = [
        "train/patient00001/study1/view1_frontal.jpg,Female,60,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0",
        "train/patient00002/study1/view1_frontal.jpg,Male,71,Frontal,PA,,,1.0,-1.0,,,-1.0,,-1.0,,1.0,,,",
        "train/patient00002/study1/view2_lateral.jpg,Male,71,Lateral,,,,1.0,-1.0,,,-1.0,,-1.0,,1.0,,,",
        "train/patient00002/study2/view1_frontal.jpg,Male,71,Frontal,AP,,0.0,,,,,,,,,,,,1.0",
        "train/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,AP,,0.0,1.0,1.0,,-1.0,,-1.0,,0.0,,,,",
    ]
    rows += [
        f"train/patient{n:05d}/study1/view1_frontal.jpg,Male,{40 + n},Frontal,PA,{'1.0' if n % 2 else ''},,,,,,,,,"
        f"{'' if n % 2 else '1.0'},,,,"
        for n in range(4, 24)
    ]
    valid = [
        "valid/patient64541/study1/view1_frontal.jpg,Female,73,Frontal,AP,0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,"
        "0.0,0.0",
        "valid/patient64542/study1/view1_frontal.jpg,Male,50,Frontal,PA" + ",0.0" * 14,
    ]
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + _CHEXPERT
    for name, lines in (("train.csv", rows), ("valid.csv", valid)):
        write_text(folder / name, "\n".join([head, *(f"CheXpert-v1.0-small/{line}" for line in lines)]) + "\n")
    test = "test/patient64741/study1/view1_frontal.jpg" + ",0.0" * 13 + ",1.0"
    write_text(folder / "test_labels.csv", f"Path,{_CHEXPERT}\n{test}\n")
    for line in (*rows, *valid, test):
        write_picture(folder / line.partition(",")[0], 32, 39)
    write_text(folder / "train" / ".azDownload-0f-view1_frontal.jpg", "cut short")
    return folder


def write_nih_cxr14(root: Path) -> Path:
    """Twelve-folder form cut to two; a header of eleven columns, a box list of nine over six; an RGBA file.

    The box list has an ``Infiltrate``; the third boxed image has two boxes, all boxed images are of the test list.
    """
    folder = root / "nih_cxr14"
    rows = {
        "00000001_000.png": "Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png": "Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143",
        "00000002_000.png": "No Finding,0,2,80,M,PA,2500,2048,0.171,0.171",
        "00000003_000.png": "Hernia,0,3,74,F,PA,2500,2048,0.168,0.168",
        "00000004_000.png": "Pleural_Thickening|Mass|Nodule,0,4,82,M,AP,2500,2048,0.168,0.168",
        "00000005_000.png": "No Finding,0,5,69,F,PA,2048,2500,0.168,0.168",
        "00000006_000.png": "Infiltration,0,6,81,M,AP,2500,2048,0.168,0.168",
        "00000006_001.png": "Infiltration|Effusion,1,6,82,M,AP,2500,2048,0.168,0.168",
        "00000007_000.png": "No Finding,0,7,70,M,PA,2500,2048,0.168,0.168",
    }
    head = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    lines = [head, *(f"{name},{rest}" for name, rest in rows.items())]
    write_text(folder / "Data_Entry_2017_v2020.csv", "\n".join(lines) + "\n")
    test = ("00000006_000.png", "00000006_001.png", "00000007_000.png")
    write_text(folder / "train_val_list.txt", "\n".join(name for name in rows if name not in test))
    write_text(folder / "test_list.txt", "\n".join(test))
    boxes = [
        "Image Index,Finding Label,Bbox [x,y,w,h],,,",
        "00000006_000.png,Infiltrate,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661",
        "00000006_001.png,Infiltrate,686.101694915254,131.543498411017,185.491525423729,313.491525423729",
        "00000006_001.png,Effusion,100.5,600.25,200.125,150.5",
    ]
    write_text(folder / "BBox_List_2017.csv", "\n".join(boxes) + "\n")
    for number, name in enumerate(rows):
        place = folder / ("images_001" if number < 5 else "images_002") / "images" / name
        write_picture(place, 1024, 1024, "RGBA" if number == 3 else "L")
    return folder

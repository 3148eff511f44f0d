"""Fake trees of the sets of image-level findings."""

from __future__ import annotations

from pathlib import Path

from .pictures import write_dicom, write_gzip, write_picture, write_text

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


def write_shenzhen(root: Path) -> Path:
    """Labels in the names, sizes that differ, palette files, an odd reading; third-party lung masks beside them."""
    folder = root / "ChinaSet_AllFiles"
    for n in range(1, 21):
        label = int(n > 10)
        name = f"CHNCXR_{n:04d}_{label}"
        write_picture(folder / "CXR_png" / f"{name}.png", 60 + n % 3, 64, "P" if n % 4 == 0 else "L")
        reading = "femal 16month\n" if n == 3 else "male 45yrs\n"
        write_text(
            folder / "ClinicalReadings" / f"{name}.txt", reading + ("normal" if not label else "right PTB") + "\n"
        )
    write_picture(folder / "masks" / "CHNCXR_0001_0_mask.png", 61, 64)
    return folder


_ALPHABETICAL = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


def write_mimic_cxr(root: Path) -> Path:
    """Compressed tables, labels of a study, alphabetical columns, ``validate``, a study without labels, laterals."""
    folder = root / "mimic-cxr-jpg" / "2.0.0"
    split, metadata = ["dicom_id,study_id,subject_id,split"], ["dicom_id,subject_id,study_id,ViewPosition,Rows,Columns"]
    labels = [f"subject_id,study_id,{_ALPHABETICAL}"]
    rows = {1: ",1.0,,,,,,,,0.0,,,,", 2: "-1.0,,,,,,,,,1.0,,,0.0,", 3: ",,,,,,,,1.0,,,,,1.0"}
    for n in range(1, 7):
        patient, study = 19990000 + n, 59990000 + n
        part = {5: "validate", 6: "test"}.get(n, "train")
        for k, view in enumerate(("PA", "LATERAL") if n < 3 else ("AP",)):
            image = "-".join(f"{n:04x}{k:04x}" for _ in range(5))
            split.append(f"{image},{study},{patient},{part}")
            metadata.append(f"{image},{patient},{study},{view},64,60")
            write_picture(folder / "files" / f"p{patient}"[:3] / f"p{patient}" / f"s{study}" / f"{image}.jpg", 64, 60)
        if n != 4:  # a study without a report
            labels.append(f"{patient},{study},{rows[(n - 1) % 3 + 1]}")
    for name, lines in (("split", split), ("metadata", metadata), ("chexpert", labels), ("negbio", labels)):
        write_gzip(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", "\n".join(lines) + "\n")
    return root / "mimic-cxr-jpg"


_VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis,{other},No finding"
)
VINDR_IMAGES = {"train": [f"{n:032x}" for n in range(1, 21)], "test": [f"{n:032x}" for n in range(101, 104)]}


def _vindr_findings(found: set[str], other: str) -> str:
    return ",".join(str(int(name in found)) for name in _VINDR.format(other=other).split(","))


def write_vindr_cxr(root: Path) -> Path:
    """Three readers who differ, a consensus in test without ``rad_id``, ``Other disease`` there, both interpretations.

    Image 1: all three draw the heart a little differently; two see an effusion; one a cavity. Image 2: one reader sees
    a tumour, the others no finding. Image 3: a reader draws one box twice, with ``Pulmonary Fibrosis`` in capitals.
    """
    folder = root / "physionet.org" / "files" / "vindr-cxr" / "1.0.0"
    head = _VINDR.format(other="Other diseases")
    findings, boxes = [f"image_id,rad_ID,{head}"], ["image_id,rad_id,class_name,x_min,y_min,x_max,y_max"]
    for number, image in enumerate(VINDR_IMAGES["train"], start=1):
        for k, reader in enumerate(("R8", "R9", "R10")):
            found, drawn = {"No finding"}, [f"{image},{reader},No finding,,,,"]
            if number == 1:
                found = {"Cardiomegaly", "Pneumonia"} | ({"Pleural effusion"} if k < 2 else {"Lung cavity"})
                drawn = [f"{image},{reader},Cardiomegaly,{30.5 + k},60.25,90.0,{100.0 + 3 * k}"]
                box = "10.0,80.0,30.0,110.0" if k < 2 else "20.0,20.0,35.5,40.0"
                drawn.append(f"{image},{reader},{'Pleural effusion' if k < 2 else 'Lung cavity'},{box}")
            elif number == 2 and k == 0:
                found = {"Lung tumor", "No finding"}
            elif number == 3 and k == 1:
                found, drawn = {"Pulmonary fibrosis"}, 2 * [f"{image},{reader},Pulmonary Fibrosis,40.0,30.0,60.0,50.0"]
            findings.append(f"{image},{reader},{_vindr_findings(found, 'Other diseases')}")
            boxes += drawn
        width = 128 if number % 2 else 112
        write_dicom(folder / "train" / f"{image}.dicom", 144, width, bits=12, monochrome=1 + number % 2)
    test_findings = [f"image_id,{_VINDR.format(other='Other disease')}"]
    test_boxes = ["image_id,class_name,x_min,y_min,x_max,y_max"]
    for number, image in enumerate(VINDR_IMAGES["test"]):
        found = {"Pneumonia", "Other disease"} if number == 0 else {"No finding"}
        test_findings.append(f"{image},{_vindr_findings(found, 'Other disease')}")
        test_boxes.append(f"{image},Consolidation,50,60,90,100" if number == 0 else f"{image},No finding,,,,")
        write_dicom(folder / "test" / f"{image}.dicom", 144, 128, bits=14, monochrome=2)
    tables = {"image_labels_train": findings, "annotations_train": boxes}
    tables |= {"image_labels_test": test_findings, "annotations_test": test_boxes}
    for name, lines in tables.items():
        write_text(folder / "annotations" / f"{name}.csv", "\n".join(lines) + "\n")
    write_text(folder / "SHA256SUMS.txt", "")
    return folder

"""Fake trees of the sets of masks: SIIM-ACR, CANDID-PTX, CheXmask, VinDr-RibCXR, Montgomery, JSRT with SCR."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .findings import VINDR_IMAGES, write_vindr_cxr
from .pictures import write_dicom, write_mask, write_picture, write_raw, write_text
from .run_lengths import absolute_rows, ellipse, relative_columns

_FIRST, _SECOND = (100, 150, 300, 400), (200, 250, 420, 500)  # they overlap
_FAR, _DOT = (700, 120, 900, 360), (600, 600, 603, 603)


def _siim_rows(images: list[str]) -> list[tuple[str, str]]:
    """Image and run lengths: two rows that overlap; two parts and a speck in one row; one row; none."""
    draw = {box: ellipse(1024, 1024, box) for box in (_FIRST, _SECOND, _FAR, _DOT)}
    rows = [(images[0], relative_columns(draw[_FIRST])), (images[0], relative_columns(draw[_SECOND]))]
    rows.append((images[1], relative_columns(draw[_FIRST] | draw[_FAR] | draw[_DOT])))
    rows.append((images[2], relative_columns(draw[_FAR])))
    return rows + [(image, "-1") for image in images[3:]]


def write_siim_acr(root: Path) -> Path:
    """A blank before the second name and its values, nested UID folders, several rows an image, a file without one."""
    folder = root / "siim-acr-pneumothorax-segmentation"
    images = [f"1.2.276.0.7230010.3.1.4.8323329.{n}.1517875201.850819" for n in range(1, 13)]
    rows = "".join(f"{image}, {text}\n" for image, text in _siim_rows(images))
    write_text(folder / "train-rle.csv", "ImageId, EncodedPixels\n" + rows)
    for image in (*images, "1.2.276.0.7230010.3.1.4.8323329.99.1517875201.850819"):
        study = f"{image[:-7]}1.850818"
        place = folder / "dicom-images-train" / study / f"{study}.7" / f"{image}.dcm"
        write_dicom(place, 1024, 1024, jpeg=True)
    return folder


def write_candid_ptx(root: Path) -> Path:
    """UIDs as names, one with ``.dcm``; a line end in a report; a blank; a repeated row; an image of two patients."""
    folder = root / "CANDID-PTX"
    images = [f"1.2.826.0.1.3680043.8.498.{n}" for n in range(101, 121)]
    lines = ["SOPInstanceUID,StudyInstanceUID,EncodedPixels,Report,filename"]
    for number, (image, text) in enumerate(_siim_rows(images)):
        text = "" if number == 6 else text
        lines.append(f'{image},{image}.9,{text},"No acute\nfinding, ""seen""",P{number // 2:05d}_{number % 2}')
    lines += [lines[-1], f'{images[5]},{images[5]}.9,-1,"again",P00009_7']
    write_text(folder / "Pneumothorax_reports.csv", "\n".join(lines) + "\n")
    for name in ("chest_tube.csv", "acute_rib_fracture.csv"):
        write_text(folder / name, f"anon_SOPUID,annotation,mask_rle\n{images[0]},a1,-1\n")
    for number, image in enumerate(images):
        place = folder / "dataset" / (f"{image}.dcm" if number == 3 else image)
        write_dicom(place, 1024, 1024, bits=8 if number % 2 else 12, monochrome=1 + number % 2)
    return folder


def write_chexmask_vindr(root: Path) -> Path:
    """Masks along the rows from 1, two forms of landmarks, a poor mask, organs that overlap; with VinDr-CXR."""
    write_vindr_cxr(root)
    folder = root / "chexmask-database"
    lines = ["image_id,Dice RCA (Mean),Dice RCA (Max),Landmarks,Left Lung,Right Lung,Heart,Height,Width"]
    for number, image in enumerate((*VINDR_IMAGES["train"], *VINDR_IMAGES["test"]), start=1):
        width = 128 if number % 2 or image in VINDR_IMAGES["test"] else 112
        left, right, heart = (70, 20, 105, 110), (10, 20, 50, 110), (35, 60, 85, 115)
        words = [absolute_rows(ellipse(144, width, box)) for box in (left, right, heart)]
        points = '"[[500 200]\n [470 205]]"' if number % 2 else '"500,200,470,205"'
        quality = "0.655" if number == 4 else "0.91"
        lines.append(f"{image},{quality},0.95,{points},{','.join(words)},144,{width}")
    write_text(folder / "OriginalResolution" / "VinDr-CXR.csv", "\n".join(lines) + "\n")
    write_text(folder / "Preprocessed" / "VinDr-CXR.csv", lines[0] + "\n")
    return folder


def write_vindr_ribcxr(root: Path) -> Path:
    """``Vindr_`` and ``VinDr_``, a dictionary of columns, the text "None" for a rib, sizes that differ."""
    folder = root / "VinDr-RibCXR"
    number = 0
    for part, count in (("train", 4), ("val", 2)):
        columns: dict[str, dict[str, object]] = {"img": {}}
        for k in range(count):
            name = f"VinDr_RibCXR_{part}_{number:03d}.png"
            columns["img"][str(k)] = f"data/{part}/img/{name}"
            width = 96 + 16 * (k % 2)
            write_picture(folder / "data" / part / "img" / name, 120, width)
            for side in "RL":
                for rib in range(1, 11):
                    x = 8.5 if side == "R" else width / 2 + 4.25
                    corners = [(x, 8.0 * rib), (x + 30, 8.0 * rib + 6), (x + 30, 8.0 * rib + 12.5), (x, 8.0 * rib + 6)]
                    points = [{"x": a, "y": b} for a, b in corners]
                    absent = part == "train" and k == 1 and (side, rib) == ("L", 10)
                    columns.setdefault(f"{side}{rib}", {})[str(k)] = "None" if absent else points
            number += 1
        write_text(folder / "data" / part / f"Vindr_RibCXR_{part}_mask.json", json.dumps(columns))
    return folder


def write_montgomery(root: Path) -> Path:
    """Masks named as their images, of one bit or eight, one of two parts; both orientations; a side missing."""
    folder = root / "MontgomerySet"
    for n in range(1, 21):
        height, width = (122, 100) if n % 2 else (100, 122)
        name = f"MCUCXR_{n:04d}_{int(n > 12)}"
        write_picture(folder / "CXR_png" / f"{name}.png", height, width)
        left, right = (60, 20, 90, 90), (10, 20, 45, 90)
        masks = {"leftMask": ellipse(height, width, left), "rightMask": ellipse(height, width, right)}
        if n == 2:
            masks["rightMask"] |= ellipse(height, width, (46, 2, 54, 10))
        for side, mask in masks.items():
            if (n, side) != (5, "leftMask"):
                write_mask(folder / "ManualMask" / side / f"{name}.png", mask, bits=1 if n % 2 else 8)
        text = f"Patient's Sex: F\nPatient's Age: {20 + n:03d}Y\n{'normal' if n <= 12 else 'TB'}\n"
        write_text(folder / "ClinicalReadings" / f"{name}.txt", text)
    return folder


def write_jsrt(root: Path) -> Path:
    """Raw images, two records run together, an unknown age, blanks in folder names, a structure missing; two folds."""
    folder = root / "JSRT"
    images = [f"JPCLN{n:03d}" for n in range(1, 6)] + [f"JPCNN{n:03d}" for n in range(1, 6)]
    for image in images:
        write_raw(folder / "All247images" / f"{image}.IMG")
    records = [f"JPCLN{n:03d}.IMG\t4\t20\t{'?' if n == 2 else 61}\tfemale\t900\t1100\tbenign\tr.lower lobe\tgranuloma"
               for n in range(1, 6)]  # fmt: skip
    joined = "\r\n".join([records[0], records[1] + records[2], *records[3:]]) + "\r\n"
    write_text(folder / "Clinical_Information" / "CLNDAT_EN.txt", joined)
    normal = "".join(f"JPCNN{n:03d}.IMG\t50\tmale\tnon-nodule\r\n" for n in range(1, 6))
    write_text(folder / "Clinical_Information" / "CNNDAT_EN.TXT", normal)
    boxes = {
        "heart": (420, 450, 700, 800),
        "left lung": (560, 150, 860, 800),
        "right lung": (160, 150, 480, 800),
        "left clavicle": (560, 150, 860, 240),
        "right clavicle": (160, 150, 460, 240),
    }
    masks = {name: ellipse(1024, 1024, box) for name, box in boxes.items()}
    for number, image in enumerate(images):
        fold = folder / "scratch" / ("fold1" if number % 2 == 0 else "fold2") / "masks"
        for name, mask in masks.items():
            if (image, name) != ("JPCNN002", "heart"):
                write_mask(fold / name / f"{image}.gif", np.asarray(mask))
    return folder

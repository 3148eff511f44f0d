"""Tiny datasets on disk with known contents, to plant mistakes and leaks in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from fx_d2.inspection import Options, Report, check_data
from fx_d2.schedule import Unit


def draw_film(number: int, side: int = 64) -> np.ndarray:
    """A smooth random picture, uint8; equal numbers give equal pictures."""
    noise = np.random.default_rng(number).normal(size=(side, side)).astype(np.float32)
    rough = cv2.GaussianBlur(noise, (0, 0), side / 10) * 3 + cv2.GaussianBlur(noise, (0, 0), side / 40) * 0.3
    return cv2.normalize(rough, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


class Ward:
    """A declared dataset with label table, patients and list files; images are ``{name}.png``."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.folder = root, name, root / name
        self.images: dict[str, tuple[str, str, str]] = {}  # name: (split, patient, label)
        (self.folder / "images").mkdir(parents=True)

    def add(self, name: str, split: str, picture: np.ndarray, patient: str = "", label: str = "0") -> Ward:
        self.images[name] = (split, patient, label)
        assert cv2.imwrite(str(self.folder / "images" / f"{name}.png"), picture)
        return self

    def write(self) -> str:
        """Writes tables and the YAML file; returns its path."""
        rows = self.images.items()
        (self.folder / "labels.csv").write_text("image,Mass\n" + "".join(f"{n}.png,{v[2]}\n" for n, v in rows))
        patients = "".join(f"{name}.png,{value[1]}\n" for name, value in rows)
        (self.folder / "patients.csv").write_text("image,patient\n" + patients)
        splits = dict.fromkeys(value[0] for value in self.images.values())
        for split in splits:
            names = "".join(f"{name}.png\n" for name, value in rows if value[0] == split)
            (self.folder / f"{split}.txt").write_text(names)
        declared = {
            "images": f"{self.name}/images",
            "splits": {split: f"{self.name}/{split}.txt" for split in splits},
            "tasks": {"cls": {"file": f"{self.name}/labels.csv", "image": "image", "classes": ["Mass"]}},
        }
        if any(value[1] for value in self.images.values()):
            declared["patients"] = {"file": f"{self.name}/patients.csv", "image": "image", "patient": "patient"}
        path = self.root / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump({"datasets": {self.name: declared}}))
        return str(path)


@pytest.fixture
def ward(tmp_path, fresh_catalog):
    """``ward(name)`` begins a dataset in a temporary folder."""
    return lambda name: Ward(tmp_path, name)


@pytest.fixture
def check(tmp_path):
    """``check(ward, ...)`` writes the wards and checks them."""

    def run(*wards: Ward, **options) -> Report:
        files = [ward.write() for ward in wards]
        units = [Unit(ward.name, "cls") for ward in wards]
        return check_data(units, files, Options(cache=tmp_path / "cache.sqlite", **options))

    return run


@pytest.fixture
def film():
    return draw_film

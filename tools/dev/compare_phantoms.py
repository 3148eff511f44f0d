#!/usr/bin/env python
"""How synthetic radiographs differ from real ones: grey levels, spectrum, edges, and how well these tell them apart.

python tools/dev/compare_phantoms.py --real FOLDER [FOLDER ...] --preset pretraining --images 200

Every image is brought to 256 pixels on its longer side. A row is one statistic: medians and 10th to 90th percentiles of
both kinds, and the AUROC with which it alone tells real from synthetic (0.5: not at all). The last row is a linear
discriminant of all statistics, cross-validated in five parts. The worst statistics are what to improve next.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tabulate import tabulate
from tqdm import tqdm

from fx_d2.data.images import SUFFIXES, read_image
from fx_d2.phantoms.presets import PRESETS
from fx_d2.tooling import run_tool

SIDE = 256
FOLDS = 5


def statistics(image: np.ndarray) -> dict[str, float]:
    """uint8 (H, W) -> statistics by name; grey levels in 0..1.

    ``spectrum a-b`` is the log10 power of the waves that are a to b pixels long, after the mean is taken out and a Hann
    window laid over; a bone edge has a few pixels, a lung a hundred.
    """
    scale = SIDE / max(image.shape)
    size = [max(16, round(side * scale)) for side in image.shape[::-1]]
    grey = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR) / 255.0
    found = {"mean": grey.mean(), "deviation": grey.std()}
    found |= {f"percentile {p}": np.percentile(grey, p) for p in (1, 10, 25, 50, 75, 90, 99)}
    found["black share"], found["white share"] = (grey < 0.03).mean(), (grey > 0.97).mean()
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)) / 8
    found |= {f"edge percentile {p}": np.percentile(slope, p) for p in (50, 90, 99)}
    found["left minus right"] = float(np.abs(grey - grey[:, ::-1]).mean())
    found["upper minus lower"] = float(grey[: len(grey) // 2].mean() - grey[len(grey) // 2 :].mean())
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / window.sum() ** 2
    wave = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    for long in (128, 64, 32, 16, 8, 4):
        band = (wave >= 1 / long) & (wave < 2 / long)
        found[f"spectrum {long // 2}-{long}"] = np.log10(power[band].sum() + 1e-12)
    return found


def real_images(folders: list[Path]) -> list[np.ndarray]:
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise ValueError(f"no image in {', '.join(map(str, folders))}")
    return [read_image(path) for path in tqdm(paths, desc="real")]


def synthetic_images(preset: str, count: int) -> list[np.ndarray]:
    """The same number of each dataset of a preset, each of another patient."""
    chosen = PRESETS[preset]
    names = list(chosen.datasets)
    numbers = tqdm(range(count), desc="synthetic")
    return [chosen.draw(names[i % len(names)], i, 0, 0, SIDE).image for i in numbers]


def discriminate(values: np.ndarray, labels: np.ndarray) -> float:
    """AUROC of a linear discriminant of (N, K) statistics on images that it was not fitted to."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    classifier = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    scores = cross_val_predict(classifier, values, labels, cv=folds, method="decision_function")
    return float(roc_auc_score(labels, scores))


def table(real: list[np.ndarray], synthetic: list[np.ndarray]) -> str:
    """Markdown, the most telling statistic first."""
    found = [[statistics(image) for image in images] for images in (real, synthetic)]
    names = list(found[0][0])
    a, b = (np.array([list(row.values()) for row in rows]) for rows in found)
    labels = np.concatenate([np.ones(len(a)), np.zeros(len(b))])
    rows = []
    for column, name in enumerate(names):
        alone = roc_auc_score(labels, np.concatenate([a[:, column], b[:, column]]))
        cells = ["{1:.3f} ({0:.3f} to {2:.3f})".format(*np.percentile(x[:, column], (10, 50, 90))) for x in (a, b)]
        rows.append([name, *cells, alone])
    rows.sort(key=lambda row: -abs(row[-1] - 0.5))
    rows.append(["all together", f"{len(a)} images", f"{len(b)} images", discriminate(np.concatenate([a, b]), labels)])
    return tabulate(rows, ["statistic", "real", "synthetic", "AUROC"], tablefmt="github", floatfmt=".2f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", nargs="+", type=Path, required=True, help="folders of radiographs")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="pretraining")
    parser.add_argument("--images", type=int, default=200, help="synthetic ones (default: %(default)s)")
    args = parser.parse_args()
    print(table(real_images(args.real), synthetic_images(args.preset, args.images)))


if __name__ == "__main__":
    run_tool(main)

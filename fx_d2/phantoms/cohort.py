"""Writes the synthetic cohort to disk: plans the images, draws them in several processes, hands them to `files`."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import cv2
from tqdm import tqdm

from .files import Entry, encode, write_dataset, write_yaml
from .presets import PRESETS
from .recipes import images_of

logger = logging.getLogger(__name__)

DEFAULT_IMAGES = {"train": 480, "val": 40, "test": 120}
# Below this many images, starting processes takes longer than drawing.
_SERIAL = 150

Job = tuple[str, str, int, int, int, int, Path]


def write_cohort(
    root: str | Path,
    seed: int = 0,
    images: int | Mapping[str, int] = DEFAULT_IMAGES,
    size: int = 256,
    workers: int | None = None,
    progress: bool = False,
    preset: str = "quickstart",
) -> Path:
    """Writes the datasets of a preset into its folder below `root`, or keeps them if they are there and complete.

    Complete means: `manifest.json`, written last, names the same parameters and the same version of the generator.

    Args:
        root: data root, usually $DETECTRON2_DATASETS.
        seed: another seed gives other patients.
        images: images per dataset by split, with the keys train, val and test (dividing by patient moves single
            images between splits); or their sum, divided in the default proportions.
        size: image height in pixels, a multiple of 8.
        workers: processes; None takes one per available core. With more than one, a script that calls this needs the
            usual guard `if __name__ == "__main__"`, since the processes are spawned.
        progress: show a progress bar.
        preset: a key of `PRESETS`.

    Returns:
        Path of `phantoms.yaml`, which declares the datasets.

    Raises:
        ValueError: there is no such preset, or the number of images or the size makes no sense.
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    counts = split_sizes(images)
    if size < 64 or size % 8:
        raise ValueError(f"size is {size}; it must be a multiple of 8 and at least 64")
    folder = Path(root) / chosen.folder
    manifest, declaration = folder / "manifest.json", folder / "phantoms.yaml"
    parameters = {"generator": _fingerprint(), "seed": seed, "size": size, "images": counts}
    if declaration.is_file() and _read_manifest(manifest) == parameters:
        logger.info("%s: complete, kept", folder)
        return declaration
    folder.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    for dataset in chosen.datasets:
        shutil.rmtree(folder / dataset, ignore_errors=True)
    entries: dict[str, list[Entry]] = {dataset: [] for dataset in chosen.datasets}
    jobs = [
        job for dataset in chosen.datasets for job in _plan(preset, dataset, seed, sum(counts.values()), size, folder)
    ]
    with tqdm(total=len(jobs), desc="phantoms", unit="image", mininterval=1.0, disable=not progress) as bar:
        for dataset, entry in _run(jobs, workers):
            entries[dataset].append(entry)
            bar.update()
    for dataset, written in entries.items():
        write_dataset(folder / dataset, dataset, chosen.datasets[dataset], written, counts, seed)
    write_yaml(declaration, chosen.datasets, counts, seed)
    manifest.write_text(json.dumps(parameters, indent=2) + "\n")
    logger.info("%s: wrote %d images in %d datasets", folder, len(jobs), len(chosen.datasets))
    return declaration


def split_sizes(images: int | Mapping[str, int]) -> dict[str, int]:
    """Images per split, checked; a sum is divided in the default proportions."""
    if isinstance(images, Mapping):
        counts = {split: int(number) for split, number in images.items()}
    else:
        total = sum(DEFAULT_IMAGES.values())
        counts = {split: max(1, round(images * DEFAULT_IMAGES[split] / total)) for split in ("val", "test")}
        counts = {"train": int(images) - sum(counts.values()), **counts}
    if set(counts) != set(DEFAULT_IMAGES) or min(counts.values()) < 1:
        raise ValueError(f"images is {images}; give at least 1 for each of train, val and test, or a sum of at least 3")
    return counts


def _fingerprint() -> str:
    """Hash of the generator's own source: another version draws other images."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *here.glob("population/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read_manifest(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _plan(preset: str, dataset: str, seed: int, total: int, size: int, folder: Path) -> list[Job]:
    """The images of a dataset: patients in order, each with one or two images, until there are enough."""
    jobs: list[Job] = []
    patient = 0
    while len(jobs) < total:
        numbers = range(images_of(seed, dataset, patient))
        jobs += [(preset, dataset, patient, number, seed, size, folder) for number in numbers]
        patient += 1
    return jobs[:total]


def _run(jobs: list[Job], workers: int | None) -> Iterator[tuple[str, Entry]]:
    """Draws and writes the images, in order."""
    workers = min(workers or _cores(), len(jobs))
    if workers == 1 or len(jobs) < _SERIAL:
        yield from map(_draw_and_write, jobs)
        return
    # Spawned, not forked: a forked child of a process that runs threads (torch, OpenCV) may hang.
    with multiprocessing.get_context("spawn").Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        results: Iterable[tuple[str, Entry]] = pool.imap(_draw_and_write, jobs, chunksize=8)
        yield from results


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw_and_write(job: Job) -> tuple[str, Entry]:
    preset, dataset, patient, number, seed, size, folder = job
    picture = PRESETS[preset].draw(dataset, patient, number, seed, size)
    entry = encode(PRESETS[preset].datasets[dataset], patient, number, picture)
    path = folder / dataset / "images" / entry.image
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture.image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"{path}: could not be written")
    return dataset, entry

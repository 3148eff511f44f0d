"""Times the reading of large annotation tables: made-up rows in the published form of CheXpert, MIMIC-CXR-JPG or NIH.

For each number of rows it prints the seconds that registering and reading take, the memory of the dataset dicts, of
their serialised form, which all workers of the loader share, and what one worker adds when it has read them all.

Example:
    python tools/dev/time_readers.py --sets chexpert nih_cxr14 mimic_cxr
    python tools/dev/time_readers.py --sets nih_cxr14 --rows 125000 250000 500000 1000000
    python tools/dev/time_readers.py --root /dev/shm       # making a million files takes minutes on a disk
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from detectron2.data.common import DatasetFromList

from fx_d2.data import labels
from fx_d2.data.catalog import clear_datasets, register_datasets

PUBLISHED = {"chexpert": 223_414, "mimic_cxr": 377_110, "nih_cxr14": 112_120}


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT))


def write_chexpert(root: Path, rows: int) -> None:
    """Three images a patient in two studies, values in about the published proportions."""
    draw = random.Random(0)
    folder = root / "CheXpert-v1.0-small"
    lines = ["Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(labels.CHEXPERT)]
    for n in range(rows):
        name = f"train/patient{n // 3:05d}/study{1 + n % 3 // 2}/view{1 + n % 3 % 2}_frontal.jpg"
        values = ",".join(draw.choices(("", "1.0", "0.0", "-1.0"), (70, 17, 7, 6), k=14))
        lines.append(f"CheXpert-v1.0-small/{name},Male,60,Frontal,AP,{values}")
        _touch(folder / name)
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def write_mimic_cxr(root: Path, rows: int) -> None:
    """Three images a study, two studies a patient, all of the training part; tables compressed."""
    draw = random.Random(0)
    folder = root / "mimic-cxr-jpg"
    split, table = ["dicom_id,study_id,subject_id,split"], ["subject_id,study_id," + ",".join(sorted(labels.CHEXPERT))]
    for n in range(rows):
        study, patient = 50_000_000 + n // 3, 10_000_000 + n // 6
        image = "-".join(f"{draw.getrandbits(32):08x}" for _ in range(5))
        split.append(f"{image},{study},{patient},train")
        if n % 3 == 0:
            table.append(
                f"{patient},{study},{','.join(draw.choices(('', '1.0', '0.0', '-1.0'), (70, 17, 7, 6), k=14))}"
            )
        _touch(folder / "files" / f"p{patient}"[:3] / f"p{patient}" / f"s{study}" / f"{image}.jpg")
    for name, lines in (("split", split), ("chexpert", table)):
        with gzip.open(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", compresslevel=1) as stream:
            stream.write("\n".join(lines) + "\n")


def write_nih_cxr14(root: Path, rows: int) -> None:
    """Four images a patient in twelve folders."""
    draw = random.Random(0)
    folder = root / "nih_cxr14"
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    names = []
    for n in range(rows):
        names.append(f"{n // 4:08d}_{n % 4:03d}.png")
        found = "|".join(draw.sample(labels.NIH_CXR14, draw.choice((0, 1, 1, 2)))) or "No Finding"
        lines.append(f"{names[-1]},{found},0,{n // 4},57,M,PA")
        _touch(folder / f"images_{1 + n * 12 // rows:03d}" / "images" / names[-1])
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join(lines) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(names[: rows * 4 // 5]))
    (folder / "test_list.txt").write_text("\n".join(names[rows * 4 // 5 :]))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "chexpert": write_chexpert,
    "mimic_cxr": write_mimic_cxr,
    "nih_cxr14": write_nih_cxr14,
}


def private_mib() -> float:
    """Memory that this process shares with no other, in MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _walk(stored: DatasetFromList, answers) -> None:
    """A loader's worker: reads every record once."""
    before = private_mib()
    for index in range(len(stored)):
        stored[index]
    answers.put(private_mib() - before)


def measure(name: str, answers) -> None:
    """Registers and reads the training split, in a process of its own, and reports."""
    clear_datasets()
    before = private_mib()
    begin, busy = time.perf_counter(), time.process_time()
    record = register_datasets()[name]
    registered = time.perf_counter() - begin
    records = record.read("cls", "train")
    seconds, busy = time.perf_counter() - begin - registered, time.process_time() - busy
    dicts = private_mib() - before
    stored = DatasetFromList(records, copy=False)
    serialised = stored._lst._lst.nbytes / 2**20 if hasattr(stored._lst, "_lst") else float("nan")
    replies = multiprocessing.get_context("fork").Queue()
    worker = multiprocessing.get_context("fork").Process(target=_walk, args=(stored, replies))
    worker.start()
    added = replies.get()
    worker.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((registered, seconds, busy, dicts, serialised, added, peak))


def main() -> None:
    """Parses the command line, writes the tables, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument("--rows", nargs="+", type=int, help="rows of the table (default: as published)")
    parser.add_argument("--root", type=Path, help="where the made-up tables are written (default: a temporary folder)")
    arguments = parser.parse_args()
    memory = "dicts, MiB | serialised, MiB | added by a worker, MiB | peak, MiB"
    print(f"| set | rows | registering, s | reading, s | of it computing, s | {memory} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        for rows in arguments.rows or [PUBLISHED[name]]:
            with tempfile.TemporaryDirectory(dir=arguments.root) as folder:
                WRITERS[name](Path(folder), rows)
                os.environ["DETECTRON2_DATASETS"] = folder
                context = multiprocessing.get_context("spawn")
                answers = context.Queue()
                process = context.Process(target=measure, args=(name, answers))
                process.start()
                registered, seconds, busy, *memory = answers.get()
                process.join()
            cells = " | ".join(f"{value:.0f}" for value in memory)
            print(f"| {name} | {rows:,} | {registered:.2f} | {seconds:.1f} | {busy:.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

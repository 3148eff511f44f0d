r"""External validation: holds a network against datasets that it was not trained on, class by class.

    fx-d2 external --plan external/synthetic.yaml --output output/external
    fx-d2 external --plan my_plan.yaml --output output/external --config-file output/run/config.yaml \
        MODEL.WEIGHTS output/run/model_best.pth

Where neither a configuration nor weights are named, the weights that come with the package are scored. A plan is a YAML
file that says which head is held against which truth and which classes mean the same (configs/external/synthetic.yaml
explains it). Writes external.md and what an evaluation writes (docs/metrics.md): results.json, results.csv and
predictions, so that `fx-d2 evaluate --compare` can hold two networks against each other. Exit code: 0 all is scored;
2 a mistake in the plan, the configuration or the weights; 3 some units could not be read, the others are written.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from fx_d2.data.catalog import register_datasets
from fx_d2.data.errors import DataError
from fx_d2.engine.evaluate import evaluation_options
from fx_d2.evaluation.files import FOLDER
from fx_d2.evaluation.recorder import Recorder
from fx_d2.external.plan import Plan
from fx_d2.external.score import Outcome, score
from fx_d2.external.summary import FILE, summary
from fx_d2.prediction import Predictor
from fx_d2.prediction.options import choose_network
from fx_d2.prediction.packaged import config_or_packaged
from fx_d2.prediction.weights import load_networks
from fx_d2.tooling import config_argument_parser

FAILED = 3
SPLIT = "external"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--plan", required=True, metavar="YAML", help="heads, truth and classes")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the results")
    parser.add_argument("--model", choices=("teacher", "student"), default="auto", help="which network (teacher)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    plan, cfg = Plan.load(args.plan), config_or_packaged(args)
    datasets = register_datasets(plan.files or cfg.DATASETS.FILES, cfg.DATASETS.OPTIONS)
    model, network = choose_network(load_networks(cfg), args.model)
    for pairing in plan.pairings:
        pairing.check(datasets, network.classes)
    recorder = Recorder(evaluation_options(cfg), SPLIT, None, args.output / FOLDER)
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for pairing in plan.pairings:
        predictor = Predictor.from_network(cfg, network, [str(pairing.head)], model=model)
        track = partial(tqdm, desc=str(pairing.truth), unit="image", disable=None)
        try:
            outcome = score(predictor, pairing, datasets, recorder.options, track)
        except (DataError, OSError) as error:
            failures.append(f"{pairing.truth}: {error}")
            print(f"error: {failures[-1]}", file=sys.stderr)
            continue
        recorder.add(str(pairing.truth), {model: outcome.table}, {model: outcome.score})
        outcomes.append(outcome)
    text = summary(plan.title, str(cfg.MODEL.WEIGHTS), network.notice, outcomes, failures)
    if outcomes:
        recorder.write(args.output)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / FILE).write_text(text, encoding="utf-8")
    print(text, end="")
    if failures:
        sys.exit(FAILED)

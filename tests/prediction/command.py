"""``fx-d2 predict`` in this process, and the JSON file that it writes."""

import json

from fx_d2.commands import predict
from fx_d2.tooling import run_tool


def exit_code(arguments):
    try:
        run_tool(lambda: predict.main(arguments))
    except SystemExit as error:
        return error.code
    return 0


def read(folder):
    rejected = []
    data = json.loads((folder / "predictions.json").read_text(), parse_constant=rejected.append)
    assert not rejected  # strict JSON: no NaN, no Infinity
    return data

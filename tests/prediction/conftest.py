"""Fixtures of the tests of predictions."""

import pytest

from tests.prediction.command import exit_code


@pytest.fixture
def call(trained, tmp_path):
    """Runs the command with the trained network; returns its exit code and its output folder."""

    def call(*arguments, output="out"):
        tail = ["MODEL.WEIGHTS", trained.weights]
        head = ["--config-file", trained.config, "--output", str(tmp_path / output)]
        return exit_code([*head, *arguments, *tail]), tmp_path / output

    return call

"""Files of weights: whole, torn, changed, foreign, hostile."""

import argparse
import os
import pickle
from pathlib import Path

import pytest
import torch

from fx_d2.checkpoint import CheckpointError, safe_load


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.pth"
    torch.save({"model": {"weight": torch.arange(4096.0)}, "iteration": 7}, path)
    return path


def test_a_whole_file(whole):
    stored = safe_load(whole, verify=True)
    assert stored["iteration"] == 7 and torch.equal(stored["model"]["weight"], torch.arange(4096.0))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pth"):
        safe_load(tmp_path / "none.pth")


@pytest.mark.parametrize("kept", [0, 1, 100, 9000, -1])
def test_a_torn_file_names_itself(whole, kept):
    whole.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"whole.pth.*(torn|damaged)"):
        safe_load(whole)


def test_a_changed_byte_is_found_by_its_checksum(whole):
    content = bytearray(whole.read_bytes())
    place = content.find(torch.tensor(1000.0).numpy().tobytes())
    content[place] ^= 0x40
    whole.write_bytes(content)
    with pytest.raises(CheckpointError, match="whole.pth.*damaged"):
        safe_load(whole, verify=True)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"PK\x03\x04 not a zip", pickle.dumps([1])[:-1]])
@pytest.mark.parametrize("verify", [False, True])
def test_a_foreign_file(tmp_path, content, verify):
    path = tmp_path / "foreign.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="foreign.pth"):
        safe_load(path, verify=verify)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_not_run(tmp_path, legacy):
    path, target = tmp_path / "bomb.pth", tmp_path / "exploded"
    torch.save({"model": Bomb(target)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"bomb.pth.*posix.system"):
        safe_load(path)
    Path(tmp_path / "bare.pkl").write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(CheckpointError, match="bare.pkl"):
        safe_load(tmp_path / "bare.pkl")
    assert not target.exists()


def test_a_class_is_loaded_only_where_it_is_allowed(tmp_path):
    path = tmp_path / "foreign.pth"
    torch.save({"args": argparse.Namespace(lr=0.1)}, path)
    for _ in range(2):  # a permission does not outlive the call
        with pytest.raises(CheckpointError, match="argparse.Namespace"):
            safe_load(path)
        assert safe_load(path, allowed=[argparse.Namespace])["args"].lr == 0.1

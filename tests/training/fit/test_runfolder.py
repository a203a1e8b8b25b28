import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from records.run import DatasetFacts, Environment, EpochRecord, RunRecord
from training.command.display import epoch_line
from training.fit.evaluate import Evaluation
from training.fit.runfolder import judged, write_run

CLASSES = ("cat", "dog", "frog")


@pytest.fixture
def record() -> RunRecord:
    data = DatasetFacts("d", "folder", "d", "f", CLASSES, (8, 8), 5, 0, 4, (1.0,) * 3, (2.0,) * 3)
    place = Environment("cpu", "a processor", 1, {}, None, None)
    return RunRecord("n", "net", {}, 0, data, place, 10, 20, (5, 5), 1.0, "2026-01-01T00:00:00Z")


@pytest.fixture
def evaluation() -> Evaluation:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]], np.float32)
    confusion = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    return Evaluation(0.5, 0.9, np.array([0, 1, 1, 0]), probabilities, confusion)


def test_an_empty_class_does_not_reach_the_file(record, evaluation, tmp_path):
    """Its accuracy would be NaN, which JSON does not have."""
    full = judged(record, test=evaluation, test_flip=replace(evaluation, accuracy=0.75))
    assert full.per_class == {"cat": 0.5, "dog": 0.5}
    assert (full.test_accuracy, full.test_accuracy_flip, full.val_accuracy) == (0.5, 0.75, None)
    write_run(tmp_path, full, nn.Linear(2, 2), evaluation, "test")
    assert RunRecord.read(tmp_path / "run.json") == full
    assert json.loads((tmp_path / "run.json").read_text())["confusion"] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_the_weights_may_be_read_by_whoever_may_read_the_folder(record, evaluation, tmp_path):
    write_run(tmp_path, judged(record, test=evaluation), nn.Linear(2, 2), evaluation, "test")
    umask = os.umask(0)
    os.umask(umask)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_predictions_are_plain_arrays(record, evaluation, tmp_path):
    write_run(tmp_path, judged(record, test=evaluation), nn.Linear(2, 2), evaluation, "test")
    found = np.load(tmp_path / "predictions.npz", allow_pickle=False)
    assert found["predictions"].tolist() == [0, 0, 1, 1]
    assert found["confidence"] == pytest.approx([0.7, 0.6, 0.8, 0.7])
    assert (str(found["split"]), found["classes"].tolist()) == ("test", list(CLASSES))


@pytest.mark.parametrize("judged_on", [None, 0.5], ids=["full", "validation"])
def test_an_epoch_is_one_line_of_aligned_columns(judged_on):
    epoch = EpochRecord(3, 1.5, 0.25, judged_on, judged_on, 0.1, 12.34)
    line = epoch_line(epoch, 12)
    assert line.split()[:3] == ["3/12", "1.5000", "25.00%"]
    assert line.split()[-1] == "12.3"
    assert len(line) == len(epoch_line(replace(epoch, val_loss=2.0, val_accuracy=0.1), 12))

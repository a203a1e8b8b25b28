import sys

import pytest

from records.run import EpochRecord
from training.command import tensorboard
from training.errors import TrainingError


def test_a_missing_package_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"--tensorboard needs the package tensorboard .*pip install"):
        tensorboard.require()


def test_epochs_are_scalars_that_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboard", reason="the optional package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = tensorboard.EventLog(tmp_path)
    for number in (1, 2):
        log.epoch(EpochRecord(number, 1.5 / number, 0.25, None, 0.5, 0.1, 12.0))
    log.close()
    # A session that goes on at epoch 2, after epoch 2 of the one that broke off.
    again = tensorboard.EventLog(tmp_path)
    again.epoch(EpochRecord(2, 0.125, 0.25, None, 0.5, 0.1, 12.0))
    again.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert "loss/validation" not in found.Tags()["scalars"]
    assert "accuracy/validation" in found.Tags()["scalars"]
    losses = [(event.step, event.value) for event in found.Scalars("loss/train (augmented)")]
    assert losses == [(1, 1.5), (2, 0.125)]

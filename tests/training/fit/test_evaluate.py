import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.evaluate import _elsewhere, evaluate

CLASSES = ("cat", "dog", "frog")


@pytest.fixture
def samples() -> Samples:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (57, 6, 6, 3), dtype=np.uint8)
    return Samples(images, random.integers(0, 2, 57), CLASSES, (120.0, 125.0, 130.0), (60.0, 61.0, 62.0))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
    )


def logits(model: nn.Module, samples: Samples) -> torch.Tensor:
    """The oracle: everything at once, in float64."""
    images = (samples.images.astype(np.float64) - samples.mean) / np.array(samples.std)
    with torch.no_grad():
        return model.double().eval()(torch.from_numpy(images).permute(0, 3, 1, 2))


def test_figures_are_those_of_a_plain_float64_evaluation(model, samples):
    result = evaluate(model, samples, batch_size=10)
    expected = logits(model, samples)
    labels = torch.from_numpy(samples.labels)
    assert result.loss == pytest.approx(F.cross_entropy(expected, labels).item(), rel=1e-5)
    assert result.accuracy == (expected.argmax(1) == labels).double().mean().item()
    assert (result.predictions == expected.argmax(1).numpy()).all()
    assert np.allclose(result.probabilities, expected.softmax(1).numpy(), atol=1e-5)
    assert np.allclose(result.confidence, expected.softmax(1).max(1).values.numpy(), atol=1e-5)


def test_rows_of_the_confusion_are_true_classes(model, samples):
    result = evaluate(model, samples)
    for true in range(3):
        for said in range(3):
            count = ((samples.labels == true) & (result.predictions == said)).sum()
            assert result.confusion[true, said] == count
    assert result.confusion.sum() == len(samples)


def test_a_class_without_images_has_no_accuracy(model, samples):
    per_class = evaluate(model, samples).per_class
    assert np.isnan(per_class[2])
    predictions = evaluate(model, samples).predictions
    assert per_class[0] == (predictions[samples.labels == 0] == 0).mean()


def test_one_image_is_enough_for_the_accuracy_of_its_class(model, samples):
    rare = Samples(samples.images, np.arange(57) // 28, CLASSES, samples.mean, samples.std)
    result = evaluate(model, rare)
    assert (rare.labels == 2).sum() == 1
    assert result.per_class[2] == float(result.predictions[56] == 2)


def test_the_batch_size_does_not_matter(model, samples):
    whole, parts = (evaluate(model, samples, batch_size=size) for size in (57, 8))
    assert np.allclose(whole.probabilities, parts.probabilities, atol=1e-6)


def test_smaller_batches_are_taken_where_the_memory_does_not_suffice(model, samples):
    sizes = []

    def limited(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")

    expected = evaluate(model, samples)
    model.register_forward_pre_hook(limited)
    result = evaluate(model, samples)
    assert sizes == [57, 28, 14, *[7] * 8, 1]
    assert np.allclose(result.probabilities, expected.probabilities, atol=1e-6)
    assert (result.labels == expected.labels).all()


def test_a_single_image_that_does_not_fit_is_told(model, samples):
    def full(*_: object) -> None:
        raise MemoryError

    model.register_forward_pre_hook(full)
    with pytest.raises(TrainingError, match="cpu ran out of memory with a single image"):
        evaluate(model, samples)


def test_a_network_of_another_device_stays_where_it_is(model, samples, monkeypatch):
    """There is one device here, so the question alone is answered otherwise."""
    places = [parameter.data_ptr() for parameter in model.parameters()]
    expected = evaluate(model, samples)
    monkeypatch.setattr("training.fit.evaluate._elsewhere", lambda *_: True)
    monkeypatch.setattr(nn.Module, "to", lambda module, _: module.double().float())  # it moves
    assert np.array_equal(evaluate(model, samples).probabilities, expected.probabilities)
    assert [parameter.data_ptr() for parameter in model.parameters()] == places


@pytest.mark.parametrize(
    ("device", "place", "elsewhere"),
    [
        ("cpu", "cpu", False),
        ("cuda:0", "cuda", False),
        ("cuda:0", "cuda:0", False),
        ("cuda:0", "cuda:1", True),
        ("cuda:0", "cpu", True),
        ("cpu", "mps", True),
    ],
)
def test_cuda_without_a_number_is_any_of_its_devices(device, place, elsewhere):
    assert _elsewhere(torch.device(device), torch.device(place)) == elsewhere


def test_modes_are_left_as_they_were(model, samples):
    model.train()
    model[1].eval()
    statistics = model[1].running_mean.clone()
    evaluate(model, samples)
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert torch.equal(model[1].running_mean, statistics)


def test_flipping_averages_both_views(model, samples):
    mirrored = Samples(samples.images[:, :, ::-1].copy(), samples.labels, CLASSES, samples.mean, samples.std)
    plain, mirror = evaluate(model, samples).probabilities, evaluate(model, mirrored).probabilities
    flipped = evaluate(model, samples, flip=True).probabilities
    assert np.allclose(flipped, (plain + mirror) / 2, atol=1e-6)
    assert not np.allclose(flipped, plain, atol=1e-3)


def test_another_number_of_classes_is_refused(samples):
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 10))
    with pytest.raises(TrainingError, match=r"the network answers with shape \(10,\) an image, .* 3 classes"):
        evaluate(model, samples)


@pytest.mark.parametrize(
    ("device", "text"), [("gpu", "there is no device 'gpu'"), ("cuda:99", "device 'cuda:99' is not")]
)
def test_a_device_that_is_not_there_is_named(model, samples, device, text):
    with pytest.raises(TrainingError, match=text):
        evaluate(model, samples, device=device)


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (np.zeros((2, 6, 6), np.uint8), [0, 1], r"uint8 of shape \(N, H, W, 3\), got uint8 of \(2, 6, 6\)"),
        (np.zeros((2, 6, 6, 3), np.float32), [0, 1], "got float32"),
        (np.zeros((2, 6, 6, 3), np.uint8), [0], "2 images need as many labels"),
        (np.zeros((2, 6, 6, 3), np.uint8), [0, 3], "labels run from 0 to 3, but there are 3 classes"),
        (np.zeros((0, 6, 6, 3), np.uint8), [], "there are no images"),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(images, labels, text):
    with pytest.raises(TrainingError, match=text):
        Samples(images, np.array(labels, dtype=np.int64), CLASSES, (1.0,) * 3, (1.0,) * 3)


def test_answers_that_are_nan_are_an_error_and_no_accuracy(model, samples):
    with torch.no_grad():
        model[4].weight[0] = 3e38  # finite, but its products are not
        model[0].weight.mul_(1e30)
    with pytest.raises(
        TrainingError, match=r"the network answers \d+ of 57 images with NaN: its weights are of no"
    ):
        evaluate(model, samples)

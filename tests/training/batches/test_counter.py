import pytest
import torch

from training.batches.counter import philox, uniforms


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_the_words_are_those_of_its_authors(counter, key, expected):
    """The known answers of Random123's kat_vectors for philox4x32-10."""
    words = [[int(word, 16) for word in text.split()] for text in (counter, key, expected)]
    assert philox(torch.tensor(words[0]), tuple(words[1])).tolist() == words[2]


def test_numbers_are_even_and_do_not_depend_on_the_company():
    index = torch.arange(20_000)
    numbers = uniforms(index, 1, 5, seed=3, epoch=7)
    assert numbers.dtype == torch.float32
    assert numbers.shape == (20_000, 5)
    assert 0 <= float(numbers.min()) < 0.001
    assert 0.999 < float(numbers.max()) < 1
    counts = torch.histc(numbers, 20, 0, 1)
    # 19 degrees of freedom: above 50 once in 7,000 such tests, and the numbers are fixed.
    assert float(((counts - 5_000) ** 2 / 5_000).sum()) < 50
    assert float(torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max()) < 0.03
    some = torch.tensor([17, 3, 19_999])
    assert torch.equal(uniforms(some, 1, 5, seed=3, epoch=7), numbers[some])


def test_seed_epoch_stream_and_image_each_change_the_numbers():
    index = torch.arange(4)
    cases = [(stream, seed, epoch) for stream in (0, 1) for seed in (0, 1, 2**32, 2**33) for epoch in (1, 2)]
    found = {
        tuple(row)
        for stream, seed, epoch in cases
        for row in uniforms(index, stream, 3, seed, epoch).tolist()
    }
    assert len(found) == 4 * len(cases)

"""Several inputs: how they are written, where they go, and a receptive field on each of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import rfcalc
from rfcalc.errors import ForwardError, InputError
from rfcalc.trace.inputs import Input, arranged, inputs_of, parse_input


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3)
        self.b = nn.Conv2d(1, 8, 5, padding=1)

    def forward(self, img: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.a(img) + self.b(mask)
        return out


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(100, 16)
        self.c = nn.Conv1d(16, 8, 5, padding=2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.c(self.e(ids).transpose(1, 2))
        return out


class Batch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, batch: dict[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(batch["image"]) * batch["mask"]) + t[:, None, None, None]
        return out


class TestWriting:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("3x32x32", Input((3, 32, 32))),
            ("3,32,32", Input((3, 32, 32))),
            ("tokens:128", Input((128,), "tokens")),
            ("uint8:3x8x8", Input((3, 8, 8), "uint8")),
            ("mask=1x8x8", Input((1, 8, 8), "", "mask")),
            ("batch.mask=bool:1x8x8", Input((1, 8, 8), "bool", "batch.mask")),
            ("t=int64:scalar", Input((), "int64", "t")),
            ("scalar", Input(())),
        ],
    )
    def test_a_text_is_read_and_written_again(self, text: str, expected: Input) -> None:
        one = parse_input(text)
        assert one == expected
        assert parse_input(str(one)) == one

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("3x32x32,1x32x32", "several inputs by several --input"),
            ("int3:4", r"write \[NAME=\]\[KIND:\]SIZE, KIND one of tokens"),
            ("=3x4x4", r"write \[NAME=\]"),
            ("3x", "whole numbers >= 1"),
            ("3x\u0663x3", "whole numbers >= 1"),
            ("9" * 5000, "whole numbers >= 1"),
            ("a..b=3x4x4", "NAME or NAME.KEY"),
        ],
    )
    def test_what_is_none_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            parse_input(text)

    @pytest.mark.parametrize(
        "given", [7, (3, 2**40, 2), (True, 3, 3), [], {}, "10", {"a": (3,)}, [(3,), (4,)]]
    )
    def test_what_analyze_cannot_use_is_refused(self, given: Any) -> None:
        with pytest.raises(InputError):
            inputs_of(given)

    def test_one_name_is_given_once(self) -> None:
        with pytest.raises(InputError, match="'a' is given twice"):
            inputs_of(["a=3x4x4", "a=3x4x4"])
        with pytest.raises(InputError, match="'a' is given twice"):
            inputs_of(["a=3x4x4", "a.b=3x4x4"])

    def test_names_lead_into_dicts_and_lists(self) -> None:
        inputs = inputs_of(["3x8x8", "a.x=1x8x8", "a.y=1x8x8", "maps.0=1x4x4", "maps.1=1x2x2"])
        args, kwargs = arranged(inputs, list("vwxyz"))
        assert args == ["v"]
        assert kwargs == {"a": {"x": "w", "y": "x"}, "maps": ["y", "z"]}


class TestFields:
    @pytest.mark.parametrize("given", [[(3, 32, 32), (1, 32, 32)], {"img": (3, 32, 32), "mask": "1x32x32"}])
    def test_each_input_has_its_field(self, given: Any) -> None:
        analysis = rfcalc.analyze(TwoInputs(), input_size=given)
        fields = {name: view.field.size for name, view in analysis.inputs.items()}
        assert fields == {"img": (3, 3), "mask": (5, 5)}

    def test_the_layers_on_every_input_are_counted(self) -> None:
        analysis = rfcalc.analyze(TwoInputs(), input_size=[(3, 32, 32), (1, 32, 32)])
        assert analysis.macs == 30 * 30 * 8 * 27 + 30 * 30 * 8 * 25
        assert analysis.params == 3 * 8 * 9 + 8 + 8 * 25 + 8

    def test_each_field_agrees_with_the_gradient(self) -> None:
        """The gradient of the centre output with respect to each input, in float64."""
        model = TwoInputs().double()
        inputs = [torch.randn(1, c, 32, 32, dtype=torch.float64, requires_grad=True) for c in (3, 1)]
        model(*inputs)[0, :, 15, 15].sum().backward()
        analysis = rfcalc.analyze(model, input_size=[(3, 32, 32), (1, 32, 32)])
        for tensor, view in zip(inputs, analysis.inputs.values(), strict=True):
            assert tensor.grad is not None
            assert torch.equal(tensor.grad[0].abs().sum(0) > 0, view.output.mask(15, 15))

    def test_tokens_are_positions(self) -> None:
        analysis = rfcalc.analyze(Tokens(), input_size="tokens:128")
        assert analysis.field.size == (5,)
        assert analysis.field.inputs_seen(7) == (frozenset({5, 6, 7, 8, 9}),)
        assert not analysis.field.flags
        assert analysis.rows[0].op == "embedding"

    def test_a_dict_a_keyword_and_a_number(self) -> None:
        given = {"batch": {"image": (3, 16, 16), "mask": "uint8:1x16x16"}, "t": "scalar"}
        analysis = rfcalc.analyze(Batch(), input_size=given)
        fields = {name: view.field.size for name, view in analysis.inputs.items()}
        assert fields == {"batch.image": (5, 5), "batch.mask": (3, 3)}

    def test_one_input_is_seen_from_itself(self) -> None:
        analysis = rfcalc.analyze(nn.Sequential(nn.Conv2d(3, 1, 3)))
        assert analysis.inputs == {"input": analysis}

    def test_a_missing_input_is_named_with_the_flag(self) -> None:
        with pytest.raises(ForwardError, match=r"takes \(img.*mask.*--input img=SIZE --input mask=SIZE"):
            rfcalc.analyze(TwoInputs())

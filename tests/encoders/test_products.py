"""Products with one weight many times over, against torch's linear map."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vsezoo.encoders import products
from vsezoo.encoders.products import prepare_product


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_products_are_those_of_linear(packs: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packs:
        monkeypatch.setattr(products, "_can_pack", lambda dtype: False)
    torch.manual_seed(0)
    weight, bias = torch.randn(15, 40).to(dtype), torch.randn(15).to(dtype)
    for matrix in (weight, torch.randn(40, 15).to(dtype).T):
        multiply = prepare_product(matrix, 8)
        for rows in (0, 1, 8, 200):
            inputs = torch.randn(rows, 40).to(dtype)
            torch.testing.assert_close(multiply(inputs, bias), functional.linear(inputs, matrix, bias))
            torch.testing.assert_close(multiply(inputs, None), functional.linear(inputs, matrix))


def test_onednn_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def reorder(*values: object) -> None:
        raise AssertionError("oneDNN is used")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", reorder)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert prepare_product(torch.eye(3), 8)(torch.ones(2, 3), None).tolist() == [[1, 1, 1], [1, 1, 1]]

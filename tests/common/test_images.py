"""8-bit pictures to tensors and back."""

import numpy as np
import pytest
import torch
from helpers.clips.rolling_clip import rolling_clip, smooth_picture

from common.images import from_8_bits, image_to_tensor, tensor_to_image, to_8_bits, to_uint8


def test_tensor_round_trip() -> None:
    picture = smooth_picture()
    tensor = image_to_tensor(picture)
    assert tensor.shape == (1, 3, 48, 64)
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert (tensor_to_image(tensor) == picture).all()
    assert (tensor_to_image(tensor[0]) == picture).all()
    assert tensor_to_image(torch.full((3, 16, 16), 1.7)).min() == 255  # clamped, not wrapped around
    with pytest.raises(ValueError, match="one image"):
        tensor_to_image(torch.zeros(2, 3, 16, 16))


def test_all_levels_come_back_at_any_precision() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    values = from_8_bits(levels)
    assert values.dtype == torch.float32
    assert (values[0], values[-1]) == (-1, 1)
    assert torch.equal(to_8_bits(values), levels)
    assert torch.equal(to_8_bits(values.half()), levels)
    assert to_8_bits(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0, 128, 255]


def test_frames_keep_their_order_and_axes() -> None:
    clip = rolling_clip()
    tensors = torch.cat([image_to_tensor(frame) for frame in clip])
    assert np.array_equal(to_uint8(tensors), clip)

"""Publishing a pipeline on the Hugging Face hub, with a model card that the hub reads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import write_text

if TYPE_CHECKING:
    import torch

    from models.pipeline import ImageDynamicsPipeline

CARD = """---
{license}pipeline_tag: image-to-video
library_name: generative-image-dynamics
tags:
- image-to-video
- generative-image-dynamics
---

# {name}

One photo of something that sways becomes a seamlessly looping video. `motion/` predicts how the photo
moves ({parameters[0]:.1f} million parameters, {frequencies} frequencies, trained at {size[0]}x{size[1]}),
`frame_synthesis/` renders it ({parameters[1]:.1f} million). After Generative Image Dynamics (Li, Tucker,
Snavely, Holynski; CVPR 2024).

```python
from models.pipeline import ImageDynamicsPipeline

pipeline = ImageDynamicsPipeline.from_pretrained("{hub_id}")
animation = pipeline("photo.jpg")
```

or `python generate.py photo.jpg --checkpoint {hub_id}`.

The motion is one about a place of rest: no walking people, no flowing water, no moving camera. What
the weights were trained on, and how well they do on other scenes, is for whoever trained them to
say here.
"""


def model_card(pipeline: ImageDynamicsPipeline, hub_id: str, license: str | None = None) -> str:
    """The card of a whole pipeline: a README.md whose head the hub reads.

    Args:
        pipeline: with both models.
        hub_id: ``owner/name``.
        license: an identifier that the hub knows, such as apache-2.0; none is claimed without.
    """
    models = pipeline.motion_model, pipeline.frame_synthesis
    millions = [sum(tensor.numel() for tensor in model.parameters()) / 1e6 for model in models if model is not None]
    config = pipeline.motion_config
    return CARD.format(
        license=f"license: {license}\n" if license else "",
        name=hub_id.split("/")[-1],
        hub_id=hub_id,
        parameters=millions,
        frequencies=config.num_frequencies,
        size=config.size,
    )


def push_to_hub(
    pipeline: ImageDynamicsPipeline,
    hub_id: str,
    *,
    private: bool = False,
    license: str | None = None,
    dtype: torch.dtype | None = None,
    token: str | None = None,
) -> str:
    """Publish a whole pipeline; a repository that is there gets a new commit. Returns its address.

    Args:
        pipeline: with both models.
        hub_id: ``owner/name``.
        private: whether a new repository is seen by its owner alone.
        license: see :func:`model_card`.
        dtype: how weights are stored, None as they are.
        token: of the hub; by default that of ``huggingface-cli login``.

    Raises:
        ValueError: no such form of an id, a pipeline without one of its models, or what the hub refused, in one line.
    """
    if hub_id.count("/") != 1:
        raise ValueError(f"{hub_id}: expected owner/name")
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder, dtype)
        write_text(Path(folder) / "README.md", model_card(pipeline, hub_id, license))
        try:
            from huggingface_hub import HfApi

            hub = HfApi(token=token)
            address = hub.create_repo(hub_id, private=private, exist_ok=True)
            hub.upload_folder(repo_id=hub_id, folder_path=folder, commit_message="Publish a pipeline")
        except Exception as error:  # the hub's errors share no base class across its versions
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{hub_id}: can't be published ({reason})") from None
    return str(address)

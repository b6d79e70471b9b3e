"""Stages in which a motion model is trained (paper sections 4.1 and 4.2), known without importing torch."""

from __future__ import annotations

# In the order in which they are trained; each kind of model has some of them. A stage's random numbers depend on its
# place here.
STAGES = ("autoencoder", "slice", "frequency_attention", "decoder")
AUTOENCODER_STAGES = ("autoencoder", "decoder")
FORMER_NAMES = {"coordinate": "frequency_attention"}  # in run folders, checkpoints and commands of earlier versions


def stage_name(text: str) -> str:
    """The present name of a stage: ``frequency-attention`` and the former ``coordinate`` give frequency_attention."""
    name = text.replace("-", "_")
    return FORMER_NAMES.get(name, name)

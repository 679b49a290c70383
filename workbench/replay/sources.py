"""The sources of latents by the name the configuration gives them."""

from __future__ import annotations

from workbench.replay.energy import EnergyReplay
from workbench.replay.gaussian import GaussianReplay
from workbench.replay.normal import NormalReplay
from workbench.replay.stored import StoredReplay

LATENT_SOURCES = {source.origin: source for source in (EnergyReplay, NormalReplay, GaussianReplay, StoredReplay)}

"""The sources of latents by the name the configuration gives them."""

from __future__ import annotations

from workbench.replay.sources.energy import EnergyReplay
from workbench.replay.sources.gaussian import GaussianReplay
from workbench.replay.sources.normal import NormalReplay
from workbench.replay.sources.stored import StoredReplay

LATENT_SOURCES = {source.origin: source for source in (EnergyReplay, NormalReplay, GaussianReplay, StoredReplay)}

"""RunConfig: the one source of the YAML file, the command-line flags, the saved run and the help texts. No torch."""

from workbench.config.errors import ConfigError, nearest
from workbench.config.sections import (
    CONTROLS,
    BackboneConfig,
    EnergyConfig,
    EvaluationConfig,
    RecordingConfig,
    ReplayConfig,
    RunConfig,
    Section,
    TasksConfig,
    TrainingConfig,
    fields,
    method_names,
)
from workbench.config.text import assign, build, from_yaml, to_yaml

__all__ = [
    "CONTROLS",
    "BackboneConfig",
    "ConfigError",
    "EnergyConfig",
    "EvaluationConfig",
    "RecordingConfig",
    "ReplayConfig",
    "RunConfig",
    "Section",
    "TasksConfig",
    "TrainingConfig",
    "assign",
    "build",
    "fields",
    "from_yaml",
    "method_names",
    "nearest",
    "to_yaml",
]

"""Model of the settings, the sources of their values, and the profiles."""

from pipeline.settings.model import (
    AlertSettings,
    BeamSettings,
    EvaluatorSettings,
    InfraValidatorSettings,
    KubeflowSettings,
    MetadataSettings,
    MonitoringSettings,
    PusherSettings,
    ReviewSettings,
    Settings,
    TrainerSettings,
)

__all__ = [
    "AlertSettings",
    "BeamSettings",
    "EvaluatorSettings",
    "InfraValidatorSettings",
    "KubeflowSettings",
    "MetadataSettings",
    "MonitoringSettings",
    "PusherSettings",
    "ReviewSettings",
    "Settings",
    "TrainerSettings",
]

"""Networks as they are trained, and the same weights as they are deployed."""

from __future__ import annotations

from semimed_monai.networks.attention_classifier import (
    AttentionClassifier,
    DeployedAttentionClassifier,
    GradCAMClassifier,
)
from semimed_monai.networks.averages import averages_kept
from semimed_monai.networks.card import (
    deployed_network,
    load_weights,
    read_card,
    refuse_other_weights,
    weights_file,
    write_card,
)
from semimed_monai.networks.chexnet import CheXNet, DeployedCheXNet
from semimed_monai.networks.embedding_classifier import DeployedEmbeddingClassifier, EmbeddingClassifier
from semimed_monai.networks.imagenet import load_imagenet
from semimed_monai.networks.lesion_map import DeployedLesionMap, LesionMapNetwork
from semimed_monai.networks.positive_cam import DeployedPositiveCAM, PositiveCAMClassifier, showing
from semimed_monai.networks.segmenter import DeployedSegmenter, Segmenter
from semimed_monai.networks.teacher import Teacher

__all__ = [
    "AttentionClassifier",
    "CheXNet",
    "DeployedAttentionClassifier",
    "DeployedCheXNet",
    "DeployedEmbeddingClassifier",
    "DeployedLesionMap",
    "DeployedPositiveCAM",
    "DeployedSegmenter",
    "EmbeddingClassifier",
    "GradCAMClassifier",
    "LesionMapNetwork",
    "PositiveCAMClassifier",
    "Segmenter",
    "Teacher",
    "averages_kept",
    "deployed_network",
    "load_imagenet",
    "load_weights",
    "read_card",
    "refuse_other_weights",
    "showing",
    "weights_file",
    "write_card",
]

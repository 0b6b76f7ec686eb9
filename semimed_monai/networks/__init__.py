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
from semimed_monai.networks.ensemble import DeployedEnsemble, Ensemble
from semimed_monai.networks.imagenet import load_imagenet
from semimed_monai.networks.lesion_map import DeployedLesionMap, LesionMapNetwork
from semimed_monai.networks.member import DeployedMember, Member
from semimed_monai.networks.positive_cam import DeployedPositiveCAM, PositiveCAMClassifier, showing
from semimed_monai.networks.segmenter import DeployedSegmenter, Segmenter
from semimed_monai.networks.teacher import Teacher
from semimed_monai.networks.voting import RULES, carried, decided, votes

__all__ = [
    "RULES",
    "AttentionClassifier",
    "CheXNet",
    "DeployedAttentionClassifier",
    "DeployedCheXNet",
    "DeployedEmbeddingClassifier",
    "DeployedEnsemble",
    "DeployedLesionMap",
    "DeployedMember",
    "DeployedPositiveCAM",
    "DeployedSegmenter",
    "EmbeddingClassifier",
    "Ensemble",
    "GradCAMClassifier",
    "LesionMapNetwork",
    "Member",
    "PositiveCAMClassifier",
    "Segmenter",
    "Teacher",
    "averages_kept",
    "carried",
    "decided",
    "deployed_network",
    "load_imagenet",
    "load_weights",
    "read_card",
    "refuse_other_weights",
    "showing",
    "votes",
    "weights_file",
    "write_card",
]

"""Networks as they are trained, and the same weights as they are deployed."""

from __future__ import annotations

from semimed_monai.networks.attention_classifier import AttentionClassifier, DeployedAttentionClassifier
from semimed_monai.networks.card import read_card, refuse_other_weights, write_card
from semimed_monai.networks.teacher import Teacher

__all__ = ["AttentionClassifier", "DeployedAttentionClassifier", "Teacher", "read_card", "refuse_other_weights", "write_card"]

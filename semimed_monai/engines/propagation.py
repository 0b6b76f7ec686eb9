"""Label propagation over a trained network's embeddings: an evaluator that asks its neighbours, for comparison.

Looked for: scikit-learn's `LabelSpreading` solves the same equation for classes that exclude each other, on a dense
matrix of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import cg
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch import Tensor, nn

from semimed_monai.engines.evaluator import SectionEvaluator, read_grading
from semimed_monai.engines.precision import autocast, formatted, in_fp32, to_device
from semimed_monai.vocabulary import UNLABELLED, Outputs, required, share

FloatArray = NDArray[np.floating[Any]]


def propagate(
    embeddings: FloatArray, labels: NDArray[Any], neighbours: int = 10, alpha: float = 0.9
) -> tuple[FloatArray, FloatArray]:
    """F⁺ and F⁻ (N×C): F = (I − α·S)⁻¹·Y, what flows from labelled images along a graph of neighbours to all.

    The graph joins each image with its nearest ones by cosine; S = D^(−1/2)·W·D^(−1/2), W the positive cosines. Of each
    class Y⁺ is 1/n on its n labelled images, Y⁻ the same on labelled images without it, so that both give as much.

    >>> embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> there, absent = propagate(embeddings, np.array([[1], [-1], [0], [-1]]), neighbours=1)
    >>> (there > absent).ravel().tolist()
    [True, True, False, False]

    Args:
        embeddings: N×K.
        labels: N×C, 0 or 1, or -1 where it is not known.
        neighbours: of each image.
        alpha: how much an image takes from its neighbours.

    Raises:
        ValueError: no more images than neighbours, or a share that is none.
    """
    if not 0 < neighbours < len(embeddings):
        raise ValueError(f"{neighbours} neighbours of {len(embeddings)} images: give a number between")
    share("alpha", alpha)
    near = NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(embeddings).kneighbors_graph(mode="distance")
    near.data = np.clip(1 - near.data, 1e-6, None)
    weights = near.maximum(near.T)
    scale = diags(1 / np.sqrt(np.asarray(weights.sum(axis=1)).ravel()))
    system = csr_matrix(identity(len(embeddings)) - alpha * (scale @ weights @ scale))
    flows = []
    for value in (1, 0):
        given = labels == value
        start = given / np.maximum(given.sum(axis=0), 1)
        flows.append(np.stack([cg(system, column, rtol=1e-8)[0] for column in start.T], axis=1).clip(0))
    return flows[0], flows[1]


class PropagationEvaluator(SectionEvaluator):
    """Gives each image of a section what its nearest training images have after labels were propagated among these.

    p_c = F⁺_c / (F⁺_c + F⁻_c), F the mean over the image's neighbours weighted by cosine, as GraphX-Net spreads few
    labels over many films. (That one solves a p-Laplacian, over the section's images too; this is p = 2, and no image
    of the section has a part in another's answer.) Where classes exclude each other the p_c are divided by their sum.

    Args:
        references: batches of the training images, labelled and not, in any order.
        neighbours, alpha: as for `propagate`.
        device, val_data_loader, network, read, others: as for every `SectionEvaluator`; what `read` says but for the
            probabilities and the embedding, which are not the graph's own, stays. Labels tell whether classes exclude
            each other.

    Raises:
        ValueError: from `run`: as from `propagate`, or a network without embeddings.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Mapping[str, Any]],
        network: nn.Module,
        references: Iterable[Mapping[str, Any]],
        read: Callable[[Outputs], dict[str, Tensor]] = read_grading,
        neighbours: int = 10,
        alpha: float = 0.9,
        **others: Any,
    ) -> None:
        super().__init__(device, val_data_loader, network, self._answer, **others)
        self._read = read
        self.references, self.neighbours, self.alpha = references, neighbours, alpha

    def run(self, *arguments: Any, **settings: Any) -> None:  # type: ignore[override]  # MONAI's own has another form
        """Propagate with the network as it is now, then evaluate."""
        embeddings, labels = self._embedded()
        several = labels.ndim > 1
        if not several:
            known = labels[:, None] != UNLABELLED
            classes = int(labels.max()) + 1
            labels = np.where(known, labels[:, None] == np.arange(classes), UNLABELLED)
        self._several = several
        self._flows = propagate(embeddings, labels, self.neighbours, self.alpha)
        self._near = NearestNeighbors(n_neighbors=self.neighbours, metric="cosine").fit(embeddings)
        super().run(*arguments, **settings)

    def _embedded(self) -> tuple[FloatArray, NDArray[Any]]:
        embeddings, labels = [], []
        with self.mode(self.network):
            for batch in self.references:
                images = to_device(batch, self.state.device)["image"]
                with autocast(self.state.device, self.precision):
                    outputs = self.inferer(formatted(images, self.channels_last), self.network)
                embeddings.append(required(in_fp32(outputs).embedding, self, "an embedding").cpu().numpy())
                labels.append(np.asarray(batch["label"]))
        return np.concatenate(embeddings), np.concatenate(labels)

    def _answer(self, outputs: Outputs) -> dict[str, Tensor]:
        answer = {name: value for name, value in self._read(outputs).items() if name != "embedding"}
        embeddings = required(outputs.embedding, self, "an embedding").cpu().numpy()
        distance, places = self._near.kneighbors(embeddings)
        weights = normalize(np.clip(1 - distance, 1e-6, None), norm="l1")
        there, absent = (np.einsum("bk,bkc->bc", weights, flow[places]) for flow in self._flows)
        found = there / np.maximum(there + absent, np.finfo(float).tiny)
        if not self._several:
            found = normalize(found, norm="l1")
        return {**answer, "probabilities": torch.as_tensor(found, dtype=torch.float32)}

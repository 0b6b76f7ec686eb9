"""Views: random augmentation of a whole batch, on its device, whose geometry can be replayed on any map.

kornia draws the numbers and has the intensities. What it lacks, and what stands here: randomness that belongs to a row
of the run, so that the numbers of (seed, step, row of the global batch) are the same on one process or eight, on a CPU
or a GPU, and after a resume; and geometry in one sampling, where kornia samples once for each augmentation, and works
out each time anew from where: a good part of a small network's step on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ignite.distributed as idist
import torch
from kornia import augmentation
from kornia.augmentation import AugmentationSequential
from kornia.augmentation.container.params import ParamItem
from kornia.constants import Resample, SamplePadding
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.vocabulary import flag

_LARGEST_SEED = 2**63 - 1
_AFFINE = (
    augmentation.RandomAffine,
    augmentation.RandomHorizontalFlip,
    augmentation.RandomRotation,
    augmentation.RandomRotation90,
    augmentation.RandomShear,
    augmentation.RandomTranslate,
    augmentation.RandomVerticalFlip,
)
_SAMPLING = {"padding_mode": SamplePadding.ZEROS, "resample": Resample.BILINEAR}


class SharedGeometry:
    """Student and teacher see the same frame: maps are compared as they are."""

    def carry(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The maps themselves; every pixel is in view."""
        return maps, None


class WarpedGeometry:
    """The teacher saw the image as it is, the student a warped one: the student's warp is replayed on the teacher's
    maps.

    >>> flip = torch.tensor([[[-1.0, 0.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> WarpedGeometry(flip, torch.Size((1, 4))).carry(torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]]))[0].round()
    tensor([[[[3., 2., 1., 0.]]]])

    Args:
        matrices: rows × 3 × 3, an affine map each from a pixel's (x, y, 1) to where the student sees it.
        size: the image's height and width: maps are brought to it first.
    """

    def __init__(self, matrices: Tensor, size: torch.Size) -> None:
        height, width = size
        self.size = size
        # Pixels as grid_sample counts them: the picture's edges are at −1 and 1. In doubles, as pixels are far apart.
        scale = matrices.new_tensor(
            [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]], dtype=torch.float64
        )
        back = (scale @ torch.linalg.inv(matrices.double()) @ torch.linalg.inv(scale)).float()
        # Not torch's affine_grid, which multiplies a matrix for each pixel.
        x, y = ((2 * torch.arange(n, device=matrices.device) + 1) / n - 1 for n in (width, height))
        along, down = back[:, :2, 0, None] * x, back[:, :2, 1, None] * y + back[:, :2, 2, None]
        self._from = (along[:, :, None] + down[..., None]).movedim(1, -1)

    def image(self, images: Tensor) -> Tensor:
        """Images in the student's frame, black where they come from outside."""
        return functional.grid_sample(images, self._from, mode="bilinear", align_corners=False)

    def mask(self, masks: Tensor) -> Tensor:
        """Masks in the student's frame: every pixel is one that was there, or 0 from outside."""
        return functional.grid_sample(masks, self._from, mode="nearest", align_corners=False)

    def carry(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The maps in the student's frame, at the image's size, and 1 where the teacher's frame reaches, else 0."""
        if maps.shape[2:] != self.size:
            # Each cell as the square of pixels that it is: a term's mean over these gives it back unblurred.
            maps = functional.interpolate(maps, size=self.size, mode="nearest-exact")
        # Beyond the last pixel's centre a map goes on as it was there: the frame ends half a pixel later.
        carried = functional.grid_sample(maps, self._from, "bilinear", padding_mode="border", align_corners=False)
        in_view = (self._from.abs().amax(-1) <= 1).to(maps.dtype)
        return carried, in_view[:, None]


@dataclass
class Viewed:
    """One batch as student and teacher see it.

    Args:
        batch: the rows, with image and mask in the student's frame.
        teacher_images: what the teacher sees.
        geometry: carries maps from the teacher's frame to the student's.
    """

    batch: dict[str, Any]
    teacher_images: Tensor
    geometry: SharedGeometry | WarpedGeometry


class Views(nn.Module):
    """Two views of a batch: one geometry, then each its own intensities.

    >>> from kornia.augmentation import RandomGaussianNoise, RandomHorizontalFlip
    >>> views = Views(geometry=[RandomHorizontalFlip(p=0.5)], student=[RandomGaussianNoise(p=1.0)], teacher=[])
    >>> viewed = views({"image": torch.rand(4, 1, 8, 8), "mask": torch.zeros(4, 1, 8, 8)}, step=1)
    >>> viewed.teacher_images.shape
    torch.Size([4, 1, 8, 8])

    Args:
        geometry: kornia's flips, rotations, translations, shears and affine maps, with kornia's own defaults for how
            pixels are interpolated and what comes from outside; the mask goes with them.
        student: kornia augmentations of intensity for the student's view.
        teacher: the same for the teacher's view; its random numbers are its own.
        share_geometry: True: both views are moved alike. False: the teacher sees the image unmoved, and
            `Viewed.geometry` carries its maps into the student's frame.
        seed: of the run.

    Raises:
        ValueError: a geometry that is not affine, or that pads or interpolates otherwise.
    """

    def __init__(
        self,
        geometry: Sequence[Any] = (),
        student: Sequence[Any] = (),
        teacher: Sequence[Any] = (),
        share_geometry: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for module in geometry:
            _refuse_other_than_affine(module)
        self.geometry = AugmentationSequential(*geometry, data_keys=["input"]) if geometry else None
        self.student = AugmentationSequential(*student, data_keys=["input"]) if student else None
        self.teacher = AugmentationSequential(*teacher, data_keys=["input"]) if teacher else None
        self.share_geometry = flag("share_geometry", share_geometry)
        self.seed = seed

    @torch.no_grad()
    def forward(self, batch: Mapping[str, Any], step: int) -> Viewed:
        """The views of the batch of one step; `step` counts the batches of the run, from 1."""
        unmoved = batch["image"]
        image, mask = unmoved, batch["mask"]
        shared: SharedGeometry | WarpedGeometry = SharedGeometry()
        if self.geometry is not None:
            parameters = self._draw(self.geometry, image.shape, step, stream=0)
            matrices = self.geometry.get_transformation_matrix(image, parameters, recompute=True)
            warped = WarpedGeometry(cast(Tensor, matrices), image.shape[2:])
            image, mask = warped.image(image), warped.mask(mask)
            if not self.share_geometry:
                shared = warped
        teacher_images = self._augment(self.teacher, image if self.share_geometry else unmoved, step, stream=2)
        student_images = self._augment(self.student, image, step, stream=1)
        return Viewed({**batch, "image": student_images, "mask": mask}, teacher_images, shared)

    def _augment(self, chain: AugmentationSequential | None, images: Tensor, step: int, stream: int) -> Tensor:
        if chain is None:
            return images
        drawn = self._draw(chain, images.shape, step, stream)
        for module, of_module in zip(chain.children(), drawn, strict=True):  # the chain itself takes twice as long
            images = module(images) if of_module.data is None else module(images, params=of_module.data)
        return images.clamp(0.0, 1.0)

    def _draw(self, chain: AugmentationSequential, shape: torch.Size, step: int, stream: int) -> list[ParamItem]:
        """The parameters of this process's rows, cut from those of the global batch."""
        world, rank, rows = idist.get_world_size(), idist.get_rank(), shape[0]
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: that would seed the GPUs' generators too, which are not forked here.
            torch.default_generator.manual_seed(_mixed(self.seed, step, stream))
            drawn = chain.forward_parameters(torch.Size((rows * world, *shape[1:])))
        if world == 1:
            return drawn
        return [_rows_of(item, rank * rows, rows, rows * world) for item in drawn]


def _refuse_other_than_affine(module: Any) -> None:
    """What `WarpedGeometry` would not replay as kornia means it."""
    wrong = None
    if not isinstance(module, _AFFINE):
        wrong = f"whose warp is not affine: use {', '.join(one.__name__ for one in _AFFINE)}"
    elif any(module.flags.get(name, default) != default for name, default in _SAMPLING.items()):
        wrong = (
            "with a resample or padding_mode of its own: leave both out, images are interpolated bilinearly and are "
            "black outside"
        )
    if wrong:
        raise ValueError(f"views#geometry has {type(module).__name__}, {wrong}")


def _mixed(seed: int, step: int, stream: int) -> int:
    """One seed for (seed, step, stream); a linear mix with odd constants keeps neighbouring triples apart."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB) % _LARGEST_SEED


def _rows_of(item: ParamItem, first: int, count: int, total: int) -> ParamItem:
    """The entries of rows first … first+count−1 out of parameters drawn for `total` rows."""
    if item.data is None:  # a module without randomness
        return item
    if isinstance(item.data, list):  # a chain within the chain
        return item._replace(data=[_rows_of(part, first, count, total) for part in item.data])
    data = dict(item.data)
    for name, value in item.data.items():
        if name == "forward_input_shape":
            data[name] = torch.cat([value.new_tensor([count]), value[1:]])
        elif name != "order" and value.dim() and len(value) == total:  # the order is the batch's, of four adjustments
            data[name] = value[first : first + count]
    return item._replace(data=data)

"""Views: geometry that can be replayed, and randomness that belongs to a row of the run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kornia.augmentation import (
    AugmentationSequential,
    ColorJiggle,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomElasticTransform,
    RandomGaussianBlur,
    RandomGaussianNoise,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomRotation,
    RandomRotation90,
    RandomShear,
    RandomTranslate,
    RandomVerticalFlip,
)
from torch import nn
from torch.nn import functional

from semimed_monai.views import SharedGeometry, Viewed, Views, WarpedGeometry


def _geometry() -> list[nn.Module]:
    return [RandomHorizontalFlip(p=0.5), RandomAffine(20.0, translate=(0.2, 0.2), p=0.7)]


def _intensities() -> list[nn.Module]:
    return [
        RandomGaussianNoise(std=0.05, p=0.5),
        RandomGaussianBlur((3, 3), (0.1, 1.0), p=0.5),
        ColorJiggle(0.2, 0.2, 0.2, 0.1, p=0.5),
        AugmentationSequential(RandomBrightness((0.8, 1.2), p=0.5), RandomContrast((0.8, 1.2), p=1.0)),
        nn.Identity(),
    ]


def _views(seed: int = 0, share_geometry: bool = True) -> Views:
    return Views(_geometry(), _intensities(), _intensities(), share_geometry, seed)


def _batch(rows: int = 4, channels: int = 3, size: int = 8) -> dict[str, Any]:
    image = torch.rand(rows, channels, size, size, generator=torch.Generator().manual_seed(3))
    return {"image": image, "mask": (image[:, :1] > 0.5).float(), "id": [f"p{row}" for row in range(rows)]}


def _same(one: Viewed, other: Viewed) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in (
            (one.batch["image"], other.batch["image"]),
            (one.batch["mask"], other.batch["mask"]),
            (one.teacher_images, other.teacher_images),
        )
    )


@contextmanager
def _process(rank: int, world: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idist, "get_rank", lambda: rank)
        patch.setattr(idist, "get_world_size", lambda: world)
        yield


@settings(max_examples=8)
@given(st.integers(1, 3), st.integers(2, 4), st.booleans(), st.integers(0, 3), st.integers(1, 50))
@example(rows=1, world=4, share_geometry=False, seed=0, step=1)
@example(rows=2, world=2, share_geometry=True, seed=0, step=1)
def test_a_row_has_its_numbers_on_any_number_of_processes(
    rows: int, world: int, share_geometry: bool, seed: int, step: int
) -> None:
    """1 × 4, 2 × 2 too: parameters with one entry per batch axis are then as long as parameters with one per row."""
    whole = _batch(rows * world)
    alone = _views(seed, share_geometry)(whole, step)
    maps = torch.rand(rows * world, 2, 8, 8)
    for rank in range(world):
        mine = slice(rank * rows, (rank + 1) * rows)
        with _process(rank, world):
            part = _views(seed, share_geometry)({name: value[mine] for name, value in whole.items()}, step)
        assert torch.allclose(part.batch["image"], alone.batch["image"][mine], atol=1e-6)
        assert torch.equal(part.batch["mask"], alone.batch["mask"][mine])
        assert torch.allclose(part.teacher_images, alone.teacher_images[mine], atol=1e-6)
        assert torch.allclose(part.geometry.carry(maps[mine])[0], alone.geometry.carry(maps)[0][mine], atol=1e-6)


def test_the_same_seed_and_step_give_the_same_views_whatever_was_drawn_before() -> None:
    views = _views()
    first = views(_batch(), 5)
    views(_batch(), 6)
    torch.manual_seed(99)
    torch.rand(17)
    assert _same(first, views(_batch(), 5))
    assert _same(first, _views()(_batch(), 5))
    assert not _same(first, views(_batch(), 6))
    assert not _same(first, _views(seed=1)(_batch(), 5))


def test_no_random_state_is_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a GPU's: torch.manual_seed would seed it, and fork_rng(devices=[]) would not put it back."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    viewed = _views(share_geometry=False)(_batch(), 1)
    viewed.geometry.carry(torch.rand(4, 1, 8, 8, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert str(np.random.get_state()) == str(states[2])  # noqa: NPY002
    assert seeded == []


def test_both_views_share_the_frame_and_differ_in_intensity() -> None:
    batch = _batch()
    moved = Views(_geometry())(batch, 1)
    assert torch.equal(moved.teacher_images, moved.batch["image"])
    assert not torch.equal(moved.batch["image"], batch["image"])
    noise = [RandomGaussianNoise(std=0.1, p=1.0)]
    viewed = Views(_geometry(), noise, [RandomGaussianNoise(std=0.1, p=1.0)])(batch, 1)
    student, teacher = viewed.batch["image"] - moved.batch["image"], viewed.teacher_images - moved.batch["image"]
    assert student.abs().mean() > 0.02
    assert teacher.abs().mean() > 0.02
    assert (student - teacher).abs().mean() > 0.02
    assert torch.equal(viewed.batch["mask"], moved.batch["mask"])


def test_nothing_asked_nothing_done() -> None:
    batch = _batch()
    viewed = Views()(batch, 1)
    assert torch.equal(viewed.batch["image"], batch["image"])
    assert torch.equal(viewed.teacher_images, batch["image"])
    assert torch.equal(viewed.batch["mask"], batch["mask"])


def test_the_batch_given_is_left_alone_and_its_other_columns_stay() -> None:
    batch = _batch()
    before = {name: value.clone() for name, value in batch.items() if name != "id"}
    viewed = _views()(batch, 1)
    assert viewed.batch["id"] == batch["id"]
    assert all(torch.equal(batch[name], value) for name, value in before.items())


def test_intensities_stay_in_the_unit_range() -> None:
    noise = RandomGaussianNoise(std=3.0, p=1.0)
    viewed = Views(student=[noise], teacher=[noise])(_batch(), 1)
    for images in (viewed.batch["image"], viewed.teacher_images):
        assert images.min() >= 0
        assert images.max() <= 1


@pytest.mark.parametrize("step", range(1, 6))
def test_the_mask_goes_with_the_image(step: int) -> None:
    """An image that is its own mask: pixels at least half covered by the warped image belong to the warped mask."""
    mask = torch.zeros(4, 1, 16, 16)
    mask[:, :, 4:10, 3:12] = 1
    viewed = Views(_geometry())({"image": mask, "mask": mask}, step)
    moved, image = viewed.batch["mask"], viewed.batch["image"]
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert (moved[image > 0.999] == 1).all()
    assert (moved[image < 0.001] == 0).all()


def _unmoved(*geometry: nn.Module) -> Views:
    return Views(geometry, share_geometry=False)


@pytest.mark.parametrize("step", range(1, 6))
def test_a_map_is_carried_as_the_image_was_warped(step: int) -> None:
    batch = _batch(rows=5)
    viewed = _unmoved(*_geometry())(batch, step)
    assert torch.equal(viewed.teacher_images, batch["image"]), "the teacher sees the image unmoved"
    carried, in_view = viewed.geometry.carry(batch["image"][:, :2])
    assert in_view is not None
    assert in_view.shape == (5, 1, 8, 8)
    # A pixel that is partly outside is darker in the image; a map goes on as it was at its border.
    whole = viewed.geometry.image(torch.ones(5, 1, 8, 8)) > 1 - 1e-5
    assert (in_view[whole] == 1).all()
    assert torch.allclose((carried - viewed.batch["image"][:, :2]) * whole, torch.zeros(5, 2, 8, 8), atol=1e-4)


def test_a_map_is_as_bright_at_its_border_as_within() -> None:
    """A third of a pixel: of the first column's pixels two thirds are in view, and they are what they were."""
    viewed = _unmoved(RandomTranslate(translate_x=(1 / 24, 1 / 24), p=1.0))(_batch(), 1)
    carried, in_view = viewed.geometry.carry(torch.ones(4, 1, 8, 8))
    assert torch.equal(carried, torch.ones(4, 1, 8, 8))
    assert in_view is not None
    assert in_view[0, 0, 0].tolist() == [1] * 8


@settings(max_examples=40)
@given(
    st.sampled_from(
        [
            RandomHorizontalFlip(p=0.5),
            RandomVerticalFlip(p=0.5),
            RandomAffine(30.0, translate=(0.2, 0.1), scale=(0.8, 1.2), shear=10.0, p=0.7),
            RandomRotation(30.0, p=1.0),
            RandomRotation90((0, 3), p=0.5),
            RandomTranslate((0.1, 0.3), (0.0, 0.2), p=1.0),
            RandomShear((-10.0, 10.0), p=1.0),
        ]
    ),
    st.integers(5, 24),
    st.integers(5, 24),
    st.integers(0, 2**16),
)
def test_one_warp_is_kornias(module: nn.Module, height: int, width: int, step: int) -> None:
    """kornia's own sampling of the same numbers. On an outline masks may differ: a pixel may lie halfway."""
    image = torch.rand(3, 2, height, width)
    mask = (torch.rand(3, 1, height, width) > 0.5).float()
    views = _unmoved(module)
    viewed = views({"image": image, "mask": mask}, step)
    assert views.geometry is not None
    drawn = views._draw(views.geometry, image.shape, step, 0)
    moved, marked = views.geometry(image, mask, params=drawn, data_keys=["input", "mask"])
    assert torch.allclose(viewed.batch["image"], moved, atol=1e-4)
    share = views.geometry(mask, params=drawn)
    assert ((viewed.batch["mask"] == marked) | (share > 0.01) & (share < 0.99)).all()


def test_several_warps_are_one_sampling() -> None:
    """What one moves out of the picture another may bring back; nothing is interpolated twice."""
    back_and_forth = [RandomTranslate((x, x), p=1.0) for x in (0.3, -0.3)]
    batch = _batch()
    assert torch.allclose(Views(back_and_forth)(batch, 1).batch["image"], batch["image"], atol=1e-5)


def test_a_translation_by_hand() -> None:
    """A quarter of eight columns: two come in from outside."""
    batch = _batch()
    viewed = _unmoved(RandomTranslate(translate_x=(0.25, 0.25), p=1.0))(batch, 1)
    expected = functional.pad(batch["image"], (2, 0))[..., :8]
    assert torch.allclose(viewed.batch["image"], expected, atol=1e-5)
    carried, in_view = viewed.geometry.carry(batch["image"])
    assert in_view is not None
    assert torch.allclose(carried * in_view, expected, atol=1e-5)
    assert in_view[0, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


def test_a_flip_loses_nothing_and_twice_is_none() -> None:
    maps = torch.rand(4, 3, 8, 8)
    viewed = _unmoved(RandomHorizontalFlip(p=1.0), RandomVerticalFlip(p=1.0))(_batch(), 1)
    carried, in_view = viewed.geometry.carry(maps)
    assert torch.allclose(carried, maps.flip(2, 3), atol=1e-5)
    assert torch.allclose(viewed.geometry.carry(carried)[0], maps, atol=1e-5)
    assert in_view is not None
    assert (in_view == 1).all()


def test_a_small_map_is_moved_by_the_images_pixels() -> None:
    """4 × 4 in an image of 8 × 8: a quarter of the image is two of its columns, not two of the map's."""
    small = torch.rand(4, 2, 4, 4)
    viewed = _unmoved(RandomTranslate(translate_x=(0.25, 0.25), p=1.0))(_batch(), 1)
    carried, in_view = viewed.geometry.carry(small)
    large = functional.interpolate(small, size=(8, 8), mode="nearest-exact")
    assert in_view is not None
    assert torch.allclose(carried * in_view, functional.pad(large, (2, 0))[..., :8], atol=1e-5)
    assert in_view.shape == (4, 1, 8, 8)


def test_a_geometry_is_that_of_its_own_batch() -> None:
    """A later batch must not change what an earlier one's geometry carries."""
    views = _unmoved(RandomAffine(40.0, p=1.0))
    batch, maps = _batch(), torch.rand(4, 1, 8, 8)
    first = views(batch, 1)
    before = first.geometry.carry(maps)[0]
    second = views(batch, 2)
    assert torch.equal(first.geometry.carry(maps)[0], before)
    assert not torch.allclose(second.geometry.carry(maps)[0], before)


def test_a_shared_frame_carries_a_map_as_it_is() -> None:
    maps = torch.rand(2, 1, 3, 3)
    carried, in_view = SharedGeometry().carry(maps)
    assert carried is maps
    assert in_view is None
    assert isinstance(_views()(_batch(), 1).geometry, SharedGeometry)
    assert isinstance(_views(share_geometry=False)(_batch(), 1).geometry, WarpedGeometry)
    assert isinstance(Views(share_geometry=False)(_batch(), 1).geometry, SharedGeometry), "nothing was moved"


def test_a_small_map_comes_back_unblurred() -> None:
    """A cell is a square of the image's pixels: where nothing moves, their mean is the cell again."""
    views = _unmoved(RandomAffine(0.0, p=1.0))
    maps = torch.rand(4, 1, 2, 2)
    carried, _ = views(_batch(), 1).geometry.carry(maps)
    assert torch.allclose(functional.avg_pool2d(carried, carried.shape[-1] // 2), maps, atol=1e-5)


def test_views_have_no_graph() -> None:
    batch = _batch()
    batch["image"].requires_grad_()
    viewed = _views()(batch, 1)
    assert not viewed.batch["image"].requires_grad
    assert not viewed.teacher_images.requires_grad


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (RandomElasticTransform(), r"has RandomElasticTransform, whose warp is not affine: use RandomAffine, Random"),
        (RandomPerspective(), r"has RandomPerspective, whose warp is not affine"),
        (RandomAffine(5.0, padding_mode="border"), r"has RandomAffine, with a resample or padding_mode of its own"),
        (RandomRotation(5.0, resample="nearest"), r"has RandomRotation, with a resample or padding_mode of its own"),
    ],
)
def test_a_geometry_that_could_not_be_replayed_is_refused(module: nn.Module, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Views([module])


def test_a_share_geometry_that_is_no_bool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share_geometry is 'false', .*: write --share_geometry True or"):
        Views(share_geometry="false")  # type: ignore[arg-type]

"""How a phantom knee looks: tissues painted from back to front with soft edges, and the labels beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from semimed_monai.data.phantoms.anatomy import KneeAnatomy, Range
from semimed_monai.data.phantoms.shapes import STACK, Femur, Field, Lesion, Tibia, drifting, step


class Scene:
    """The noise-free picture of one person's slab.

    `signal` (S×H×W) is about 0 to 1.3; `labels` (S×H×W) takes a pixel that a tissue fills at least half;
    `site` is where the femoral cartilage was before it lost anything.

    Args:
        femur: the condyle and its healthy cartilage.
        lesion: what that cartilage has lost.
        tibia: the plateau below.
        tissue: random stream of signals and soft tissue.
        distractor: random stream of what looks odd without regard to the grade.
        anatomy: the ranges to draw from.
    """

    def __init__(
        self,
        femur: Femur,
        lesion: Lesion,
        tibia: Tibia,
        *,
        tissue: np.random.Generator,
        distractor: np.random.Generator,
        anatomy: KneeAnatomy,
    ) -> None:
        self.femur, self.tibia, self.anatomy = femur, tibia, anatomy
        self.rng, self.odd = tissue, distractor
        self.signal: Field = np.zeros(femur.angle.shape, np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(femur.angle.shape, np.uint8)
        self.marrow_texture, self.soft_texture = self._texture(1.5), self._texture(3.0)
        self.cartilage = self._level(anatomy.cartilage)
        self.fluid = self.cartilage + self._level(anatomy.fluid_over_cartilage)
        self.fat, self.muscle, self.marrow = map(self._level, (anatomy.fat, anatomy.muscle, anatomy.marrow))
        self.cortex, self.fibre = map(self._level, (anatomy.cortex, anatomy.meniscus))
        self._soft_tissue()
        self._fluid_film()
        self._bones()
        self._tibial_cartilage()
        self._menisci()
        self._femoral_cartilage(lesion)

    def _level(self, bounds: Range) -> float:
        return float(self.rng.uniform(*bounds))

    def _texture(self, size: float) -> Field:
        noise = self.rng.standard_normal(self.signal.shape, dtype=np.float32)
        smooth = gaussian_filter(noise, (0.5, size, size), mode="wrap", truncate=2.5)
        return np.asarray(smooth / smooth.std() * self._level(self.anatomy.texture), dtype=np.float32)

    def _inside(self, distance: Field) -> Field:
        """Share of a pixel that lies where a signed distance is negative."""
        return np.asarray(np.clip(0.5 - distance / self.anatomy.spacing, 0, 1), dtype=np.float32)

    def _band(self, distance: Field, width: Field) -> Field:
        """Share of a pixel that lies where 0 < distance < width."""
        half = self.anatomy.spacing / 2
        overlap = np.minimum(distance + half, width) - np.maximum(distance - half, 0)
        return np.asarray(np.clip(overlap, 0, None) / self.anatomy.spacing, dtype=np.float32)

    def _paint(self, where: Field, value: Field | float) -> None:
        self.signal += where * (value - self.signal)

    def _soft_tissue(self) -> None:
        """Air, subcutaneous and Hoffa's fat, the patellar tendon, patella, muscle and vessels behind."""
        rng, femur = self.rng, self.femur
        x, y = femur.x, femur.y
        skin = femur.centre_x - femur.along - rng.uniform(14, 27) + rng.uniform(-0.2, 0.2) * y + (y / 20) ** 2
        self._paint(self._inside(skin - x), self.fat + self.soft_texture)
        tendon = skin + rng.uniform(4, 8)
        self._paint(self._inside(np.abs(x - tendon) - rng.uniform(1.2, 2.6)), self.fibre)
        muscle = femur.centre_x + femur.along + rng.uniform(2, 9) + 2 * np.sin(y / rng.uniform(5, 9))
        self._paint(self._inside(muscle - x), self.muscle + self.soft_texture)
        high, tall, deep = femur.centre_y - rng.uniform(8, 28), rng.uniform(10, 16), rng.uniform(5, 8)
        patella = (np.hypot((x - tendon - deep) / deep, (y - high) / tall) - 1) * deep
        self._bone(patella, self.marrow)
        for _ in range(3):
            place = rng.uniform((4, -40, 1.2), (16, 40, 3.5))
            vessel = np.hypot(x - muscle - place[0], y - place[1]) - place[2]
            self._paint(self._inside(vessel), rng.uniform(0.05, 0.9))

    def _bone(self, distance: Field, marrow: Field | float) -> None:
        self._paint(self._inside(distance), self.cortex)
        self._paint(self._inside(distance + self.anatomy.spacing), np.clip(marrow + self.marrow_texture, 0.05, None))

    def _spread(self) -> Field:
        """How far a distractor reaches over the slices: S×1×1, 1 at its middle."""
        middle, reach = self.odd.uniform((-1.2, 0.3), (1.2, 0.9))
        return np.asarray(np.exp(-(((STACK - middle) / reach) ** 2)), dtype=np.float32)

    def _fluid_film(self) -> None:
        """Fluid along the cartilage, pockets of it, and an effusion beyond the two ends of the arc."""
        odd, femur = self.odd, self.femur
        film = drifting(odd, odd.uniform(*self.anatomy.film), 0.3)
        self.film = film
        arc = step(-0.1, 0.1, femur.angle - femur.start) * step(-0.1, 0.1, femur.end - femur.angle)
        width: Field = film * arc
        for _ in range(odd.integers(self.anatomy.fluid_pockets + 1)):
            at, half = odd.uniform((-1.0, 0.12), (1.3, 0.3))
            bump = 1 - step(0.3, 1.0, np.abs(femur.angle - at) / half)
            width = width + odd.uniform(*self.anatomy.fluid_pocket_depth) * bump * self._spread() * arc
        for end in (femur.start, femur.end):
            depth = odd.uniform(2, 6) * (odd.random() < self.anatomy.recess_share)
            bump = 1 - step(0.2, 1.0, np.abs(femur.angle - end) / odd.uniform(0.3, 0.6))
            width = np.maximum(width, depth * bump * self._spread())
        self._paint(self._band(femur.distance, femur.healthy + width), self.fluid)

    def _spots(self, back: float, down: float) -> Field:
        """A marrow spot, brighter or darker, around a point given in mm from the condyle's centre."""
        size = self.odd.uniform(1.5, 4.5)
        signal = self.odd.uniform(*self.anatomy.marrow_spot_signal) * self.odd.choice((-1, 1, 1))
        dx, dy = self.femur.x - self.femur.centre_x - back, self.femur.y - self.femur.centre_y - down
        return np.asarray(signal * np.exp(-(dx**2 + dy**2) / (2 * size**2)) * self._spread(), dtype=np.float32)

    def _bones(self) -> None:
        odd = self.odd
        marrow: Field = np.full_like(self.signal, self.marrow)
        for _ in range(odd.integers(self.anatomy.marrow_spots + 1)):
            reach, angle = odd.uniform((8, -1.2), (22, 1.4))
            marrow += self._spots(reach * np.sin(angle), reach * np.cos(angle))
        for _ in range(odd.integers(self.anatomy.marrow_spots + 1)):
            marrow += self._spots(*odd.uniform((-18, 28), (18, 45)))
        self._bone(self.tibia.bone, marrow)
        self._bone(self.femur.bone, marrow)

    def _tibial_cartilage(self) -> None:
        odd, tibia = self.odd, self.tibia
        at, half, depth = odd.uniform((-16, 3, 0.3), (16, 7, 1.0))
        depth *= odd.random() < self.anatomy.tibial_defect_share
        lost = depth * (1 - step(0.6, 1.0, np.abs(tibia.u - at) / half)) * self._spread()
        whole, left = self._band(tibia.v, tibia.thick), self._band(tibia.thick - tibia.v, tibia.thick * (1 - lost))
        self._paint(whole, self.fluid)
        self._paint(left, self.cartilage + 0.5 * self.soft_texture)
        self.labels[left >= 0.5] = 2

    def _menisci(self) -> None:
        """Dark wedges in front and behind, between the two cartilages: they follow the healthy surface."""
        odd, tibia, femur = self.odd, self.tibia, self.femur
        above = femur.healthy + self.film - femur.distance
        for side in (-1, 1):
            inner, outer, tall = odd.uniform((6, 16, 4), (11, 22, 8))
            u = side * tibia.u
            wedge = np.maximum.reduce([inner - u, u - outer, tibia.v, -tibia.v - tall, above])
            where = self._inside(wedge)
            mark = odd.uniform(0.15, 0.45) * (odd.random() < self.anatomy.meniscal_signal_share)
            line = np.exp(-(((tibia.v + odd.uniform(0.5, 3)) / odd.uniform(0.5, 1.2)) ** 2)) * self._spread()
            self._paint(where, self.fibre + mark * line)
            self.labels[(where >= 0.5) & (self.labels == 0)] = 3

    def _femoral_cartilage(self, lesion: Lesion) -> None:
        """Cartilage up to what is left of its thickness; the lost part is filled, up to the healthy surface."""
        femur = self.femur
        whole = self._band(femur.distance, femur.healthy)
        left = self._band(femur.distance, femur.healthy * (1 - lesion.lost))
        toward = self.fibre if lesion.dark else self.fluid
        fill = self.cartilage + lesion.contrast * (toward - self.cartilage)
        texture = 0.5 * self.soft_texture
        share = left / np.maximum(whole, 1e-6)
        self._paint(whole, fill + share * (self.cartilage - fill) + texture)
        self.labels[left >= 0.5] = 1
        self.site = whole >= 0.5
        self.labels[(whole >= 0.5) & (left < 0.5)] = 0

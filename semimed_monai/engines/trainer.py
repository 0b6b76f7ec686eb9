"""The trainer of every method: views → student and teacher → criterion → step. It knows no method."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, EventEnum, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from semimed_monai.engines.memory import keep_freed_memory
from semimed_monai.engines.precision import autocast, checked, formatted, in_fp32, to_device
from semimed_monai.engines.processes import average_buffers
from semimed_monai.losses.criterion import Criterion
from semimed_monai.networks.averages import averages_kept
from semimed_monai.networks.teacher import Teacher
from semimed_monai.views import Viewed, Views
from semimed_monai.vocabulary import Outputs, Step, above_zero, flag


class OptimiserEvents(EventEnum):
    """`STEPPED` fires after every step that the optimiser really took: not while gradient accumulates, and not when the
    fp16 scaler skipped it. `engine.state.optimiser_step` counts them.
    """

    STEPPED = "optimiser_stepped"


class Stateful(Protocol):
    """What a checkpoint can keep: handlers put themselves into `trainer.remembered` under a name when they attach."""

    def state_dict(self) -> Any:
        """What to keep: tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take it back."""
        ...


def term_values(output: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """The sum and the terms of a batch, out of the trainer's output: the `output_transform` of MONAI's loggers."""
    return output[0]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message says where, which term, and with which files."""


class SemiSupervisedTrainer(SupervisedTrainer):
    """One step: L = criterion(student(view_s), teacher(view_t)); the student learns, handlers move the teacher.

    What MONAI's SupervisedTrainer lacks and this adds: views on the device, a teacher, a criterion that sees both
    sides and the progress τ/τmax, autocast on CPU, channels-last, gradient clipping, an event per optimiser step and a
    stop on a non-finite loss. `bundles/dcmt/configs/train.json` is the example.

    Args:
        device: where to run.
        max_epochs: epochs of the run.
        train_data_loader: batches with `image`, `label`, `mask`, `has_mask` and `id`. If its batch sampler has
            `set_epoch` it is told the epoch (from 0).
        network: the student, possibly wrapped by DistributedDataParallel.
        optimizer: its optimiser. Parameters of the criterion join it as a group of their own.
        criterion: the terms.
        views: student's and teacher's view of a batch.
        teacher: who gives targets, or None.
        precision: `fp32`, `bf16` (CPU or GPU) or `fp16` (GPU, with loss scaling). Maps and losses stay in fp32.
        channels_last: memory format of network and images; with bf16 it is what makes a CPU fast.
        clip_norm: largest gradient norm, or None.
        accumulation_steps: batches per optimiser step.
        compile: whether to torch.compile the student.
        frozen_norm: whether the student's batch normalisation uses its running averages and leaves them as they are:
            for fine tuning with few rows, or several processes on CPUs.
        frozen_norm_epochs: the same in so many first epochs only: while a head alone learns on pretrained features.
        inferer, train_handlers, non_blocking: as in MONAI.

    Raises:
        ValueError: an unknown precision, fp16 without a GPU, a number that is not above 0, or a term that needs a
            teacher where there is none.
        NonFiniteLossError: during the run.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: Iterable[Mapping[str, Any]],
        network: nn.Module,
        optimizer: Optimizer,
        criterion: Criterion,
        views: Views,
        teacher: Teacher | None = None,
        precision: str = "fp32",
        channels_last: bool = False,
        clip_norm: float | None = None,
        accumulation_steps: int = 1,
        compile: bool = False,  # noqa: A002 - MONAI's name
        frozen_norm: bool = False,
        frozen_norm_epochs: int = 0,
        inferer: Inferer | None = None,
        train_handlers: Sequence[Any] | None = None,
        non_blocking: bool = False,
    ) -> None:
        device = torch.device(device)
        if device.type == "cpu":
            keep_freed_memory()
        for name, value in (("max_epochs", max_epochs), ("accumulation_steps", accumulation_steps)):
            above_zero(name, value)
        if clip_norm is not None:
            above_zero("clip_norm", clip_norm)
        if criterion.uses_teacher and teacher is None:
            raise ValueError("the criterion compares with a teacher, but there is none: enable `teacher`")
        self.criterion = criterion.to(device)
        self.views = views.to(device)
        self.teacher = teacher
        self.precision = checked(precision, device)
        self.channels_last = flag("channels_last", channels_last)
        self.clip_norm = clip_norm
        self._norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self._frozen_epochs = math.inf if flag("frozen_norm", frozen_norm) else frozen_norm_epochs
        self._batch_sampler: Any = getattr(train_data_loader, "batch_sampler", None)
        if channels_last:
            _refuse_late_layout(network)
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if teacher is not None:
                teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._terms_own = [parameter for parameter in criterion.parameters() if parameter.requires_grad]
        if self._terms_own:
            optimizer.add_param_group({"params": self._terms_own})
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            network=network,
            optimizer=optimizer,
            loss_function=criterion,
            non_blocking=non_blocking,
            inferer=inferer,
            train_handlers=None,
            event_names=[OptimiserEvents],
            decollate=False,
            optim_set_to_none=True,
            compile=flag("compile", compile),
            accumulation_steps=accumulation_steps,
        )
        self.scaler: Any = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.state.optimiser_step = 0
        self.remembered: dict[str, Stateful] = {"student": self.student, "optimiser": optimizer, "criterion": criterion}
        if teacher is not None:
            self.remembered["teacher"] = teacher
        if self.scaler is not None:
            self.remembered["scaler"] = self.scaler
        self._running = [buffer for buffer in self.student.buffers() if buffer.is_floating_point()]
        self._sums: dict[str, Tensor] = {}
        self._batches: Counter[str] = Counter()
        self.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        self.add_event_handler(Events.EPOCH_COMPLETED, self._average_epoch)
        criterion.attach(self)
        self._register_handlers(train_handlers or ())
        # After all handlers had their say: ignite runs only the handlers before the first that raises, and swallows the
        # exception if none does.
        self.add_event_handler(Events.EXCEPTION_RAISED, self._raise)

    @property
    def student(self) -> nn.Module:
        """The student without the wrappers of DistributedDataParallel and torch.compile."""
        network = self.network
        network = getattr(network, "_orig_mod", network)
        return getattr(network, "module", network)

    @property
    def optimiser_steps(self) -> int:
        """τmax: the optimiser steps of the whole run."""
        return int(self.state.max_epochs * math.ceil(self.state.epoch_length / self.accumulation_steps))

    def _raise(self, error: BaseException) -> None:
        raise error

    def _start_epoch(self) -> None:
        self._sums, self._batches = {}, Counter()
        if hasattr(self._batch_sampler, "set_epoch"):
            self._batch_sampler.set_epoch(self.state.epoch - 1)

    def _average_epoch(self) -> None:
        """The epoch's mean of every value, over all processes and the batches that had it (a term may begin within an
        epoch), goes to `state.metrics`, where MONAI's loggers find it.
        """
        totals = torch.stack([total.float() for total in self._sums.values()])
        if idist.get_world_size() > 1:
            torch.distributed.all_reduce(totals)
        batches = totals.new_tensor([self._batches[name] for name in self._sums])
        means = totals / (batches * idist.get_world_size())
        self.state.metrics.update(
            {f"train_{name}": mean for name, mean in zip(self._sums, means.tolist(), strict=True)}
        )

    def _iteration(self, _: Engine, batchdata: Mapping[str, Any]) -> list[dict[str, Tensor]]:  # type: ignore[override]
        """One batch. The output is a list of one dict, as MONAI's loggers expect of an engine that decollates."""
        position = (self.state.iteration - 1) % self.state.epoch_length
        first = position - position % self.accumulation_steps
        group = min(self.accumulation_steps, self.state.epoch_length - first)
        self.network.train()
        for norm in self._norms if self.state.epoch <= self._frozen_epochs else ():
            norm.eval()
        if position == first:
            self.optimizer.zero_grad(set_to_none=True)
        viewed = self.views(to_device(batchdata, self.state.device, self.non_blocking), self.state.iteration)
        losses = self.criterion(self._compare(viewed))
        self.fire_event(IterationEvents.LOSS_COMPLETED)
        self._refuse_non_finite(losses, batchdata)
        self._backward(losses["loss"] / group)
        if position + 1 == first + group and self._step():
            average_buffers(self._running)
            self.state.optimiser_step += 1
            self.fire_event(OptimiserEvents.STEPPED)
        values = {name: value.detach() for name, value in losses.items()}
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._batches.update(values.keys())
        self.state.output = [values]
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return [values]

    def _compare(self, viewed: Viewed) -> Step:
        """Student and teacher on their views. Autocast covers the networks only."""
        progress = min((self.state.optimiser_step + 1) / self.optimiser_steps, 1.0)
        with autocast(self.state.device, self.precision):
            seen = formatted(viewed.teacher_images, self.channels_last)
            teacher = self.teacher(seen) if self.teacher is not None and self.criterion.compares(progress) else None
            student = self._run_student(viewed.batch["image"])
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        return Step(
            batch=viewed.batch,
            student=student,
            teacher=None if teacher is None else in_fp32(teacher),
            geometry=viewed.geometry,
            progress=progress,
            run=self._run_again,
        )

    def _run_student(self, images: Tensor) -> Outputs:
        with autocast(self.state.device, self.precision):
            return in_fp32(self.inferer(formatted(images, self.channels_last), self.network))

    def _run_again(self, images: Tensor) -> Outputs:
        """The student on images that a term made, which the deployed network will not see: no running average is of
        them.
        """
        with averages_kept(self.student):
            return self._run_student(images)

    def _refuse_non_finite(self, losses: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        finite = torch.isfinite(losses["loss"]).float()
        if idist.get_world_size() > 1:  # all stop together, or the others would wait for this one's gradient
            torch.distributed.all_reduce(finite)
        if finite >= idist.get_world_size():
            return
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        files = "\n  ".join(map(str, batch.get("id", ())))
        raise NonFiniteLossError(
            f"the loss is not finite in epoch {self.state.epoch}, batch {self.state.iteration} of the run: {terms}.\n"
            f"Lower the learning rate, set clip_norm, or look at the files of this batch:\n  {files}"
        )

    def _backward(self, loss: Tensor) -> None:
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)

    def _average_terms_gradients(self) -> None:
        """Over the processes: DistributedDataParallel does it for the student's parameters only."""
        world = idist.get_world_size()
        for parameter in self._terms_own if world > 1 else ():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(gradient)
            parameter.grad = gradient / world

    def _step(self) -> bool:
        """Clip and step; False when the fp16 scaler met an overflow and skipped the step."""
        self._average_terms_gradients()
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            learned = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(learned, self.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return bool(self.scaler.get_scale() >= before)


def _refuse_late_layout(network: nn.Module) -> None:
    """What DistributedDataParallel has wrapped must have its layout already (see `on_device`)."""
    kernels = [weight for weight in network.parameters() if weight.dim() == 4]
    if isinstance(network, DistributedDataParallel) and not all(
        weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels
    ):
        raise ValueError(
            "the network was wrapped by DistributedDataParallel before it was made channels-last, and would learn from "
            "gradients out of order: give `on_device` channels_last, too"
        )

"""The runtime of training: device, precision, and processes that share a batch."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from vsezoo.batch import Embeddings
from vsezoo.devices import SLOW_BF16, choose_device, choose_precision
from vsezoo.interfaces import Batch, Tokens
from vsezoo.training.peers import list_peers


def read_rank() -> int:
    """Return the rank of this process in torch's launcher; 0 without a launcher."""
    return int(os.environ.get("RANK", 0))


class Runtime:
    """Device, precision and processes of a run.

    Several processes are started by torch's launcher (`torchrun --nproc-per-node 2 -m vsezoo train …`).

    Args:
        device: name of a torch device, or `auto`.
        precision: `fp32`, or `bf16` for encoders that compute in bfloat16 with float32 parameters. On a CPU
            that is slower in bfloat16 it becomes `fp32`.
    """

    def __init__(self, device: str = "auto", precision: str = "fp32") -> None:
        self.rank, self.world_size = read_rank(), int(os.environ.get("WORLD_SIZE", 1))
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.warnings = [] if self.precision == precision else [SLOW_BF16.format(what="the encoders compute")]
        if self.world_size > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            if not distributed.is_initialized():
                distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        self.peers = list_peers() if self.world_size > 1 else []

    @property
    def is_main(self) -> bool:
        """Whether this process validates, saves and reports."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Return the autocast context of the encoders."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def distribute(self, model: nn.Module) -> nn.Module:
        """Return the module that averages gradients over the processes; with one process, the model itself."""
        return DistributedDataParallel(model) if self.world_size > 1 else model

    def share_parameters(self, module: nn.Module) -> None:
        """Give a module that `distribute` does not wrap the parameters and buffers of the main process."""
        if self.world_size > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.detach(), 0)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in order of rank; gradients flow back to each process.

        Every process then computes the loss of the whole batch. The gradient of a row is the sum over processes of
        `world_size` equal losses; averaging by `distribute` makes it the gradient of one loss.
        """
        if self.world_size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows)
        return gathered

    def gather_output(self, output: Tensor | Embeddings, sets: bool) -> Embeddings:
        """Return the encoder output for one side of the whole batch, in float32.

        Args:
            output: output in this process.
            sets: include the items; sets are padded to the largest of all processes.
        """
        side = Embeddings.of(output).map(Tensor.float)
        if not sets or side.items is None:
            return replace(side, items=None, lengths=None).map(self.gather)
        size = self.maximum(side.size)
        if self.any(side.lengths is not None or side.size < size):  # then in all of them
            side = replace(side, lengths=side.counts).pad(size)
        lengths = None if side.lengths is None else self.gather(side.lengths)
        return replace(side.map(self.gather), lengths=lengths)

    def gather_pairs(self, batch: Batch) -> Batch:
        """Return the captions and indices of the whole batch; the images are those of this process only."""
        if self.world_size == 1:
            return batch
        width = batch.tokens.ids.shape[1]
        ids = functional.pad(batch.tokens.ids, (0, self.maximum(width) - width))
        lengths = self.gather(batch.tokens.lengths.to(self.device)).cpu()
        tokens = Tokens(self.gather(ids), lengths)
        return Batch(batch.images, tokens, self.gather(batch.image_index), self.gather(batch.caption_index))

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients of a module that `distribute` does not wrap, such as a loss."""
        if self.world_size > 1:
            for parameter in module.parameters():
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.world_size

    def maximum(self, number: int) -> int:
        """Return the largest value of all processes."""
        if self.world_size == 1:
            return number
        largest = torch.tensor(number, device=self.device)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.maximum(int(flag)) > 0

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1:
            distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Gathers the rows of all processes; torch's own version, in `torch.distributed.nn`, is deprecated."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()  # autograd may still use its input
        distributed.all_reduce(total)
        start = distributed.get_rank() * ctx.count
        return total[start : start + ctx.count]

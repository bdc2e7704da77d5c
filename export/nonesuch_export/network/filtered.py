"""Filtered nonlinearity (StyleGAN3, section 3.2): filter up, activate, filter down.

The signal between the two filters is kept in its polyphase form: sample n·P + p at place n of
phase p. Up-sampling makes each phase straight from the input, down-sampling adds up what each
phase contributes, so that no zeros are inserted and nothing is interleaved: all that remains are
depthwise convolutions of stride 1 with constant weights. Every pad and crop is a number before
the first sample arrives. Where the sampling rate grows as well, zeros are inserted for that share
of the up-sampling, at the input, where the signal is smallest. docs/stylegan3.md says what the
filters cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

ROWS, COLUMNS = 2, 3  # the spatial axes of [N, C, h, w]
_MOST_PHASES = 4  # along each axis


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """How many samples go in and out along each axis, by which factors and filters.

    A factor has at least as many taps; a filter of one tap is none.
    """

    inputs: int
    outputs: int
    up: int
    down: int
    up_taps: int
    down_taps: int

    @property
    def pad(self) -> int:
        """Zeros before the up-sampled signal; where negative, samples that are cut off."""
        total = (self.outputs - 1) * self.down + 1 - self.inputs * self.up
        return (total + self.up_taps + self.down_taps - 2 + self.up) // 2

    @property
    def phases(self) -> int:
        """Two for the authors' settings; one, with plain strides, where parts would be many."""
        return self.down if self.up % self.down == 0 and self.down <= _MOST_PHASES else 1

    @property
    def spread(self) -> int:
        """The share of the up-sampling that is done by inserting zeros."""
        return self.up // self.phases

    @property
    def step(self) -> int:
        """The share of the down-sampling that is done by a stride."""
        return self.down // self.phases

    @property
    def reach(self) -> int:
        """Taps of the down-sampling filter on each phase, at most."""
        return -(-self.down_taps // self.phases)

    @property
    def count(self) -> int:
        """Samples of each phase that the down-sampling filter reads."""
        return (self.outputs - 1) * self.step + self.reach

    def first_tap(self, phase: int) -> int:
        """The first tap that meets a sample of the input; then every `phases`-th does."""
        return (self.pad - phase) % self.phases

    def first_sample(self, phase: int) -> int:
        """The sample, of the input with its zeros, that the first tap meets."""
        return (phase + self.first_tap(phase) - self.pad) // self.phases

    @property
    def begin(self) -> int:
        """The sample that the kernels of all phases begin at, negative in the padding.

        It is one of the input's own, so that no inserted zero has to be cut off in front.
        """
        first = min(map(self.first_sample, range(self.phases)))
        return first // self.spread * self.spread

    @property
    def width(self) -> int:
        """Taps of the up-sampling filter in each phase, if all are to begin at `begin`."""
        return max(
            self.first_sample(p) - self.begin - (self.first_tap(p) - self.up_taps) // self.phases
            for p in range(self.phases)
        )


class Filtered(nn.Module):
    """Apply an activation between two filters: x [N, channels, inputs²] to [N, channels, outputs²].

    Kernels are laid out once, by `load`, so that they are constants when the network is traced.
    """

    up_rows: Tensor  # [phases, channels, 1, width, 1]
    up_columns: Tensor  # [phases, channels, 1, 1, width]
    down_rows: Tensor  # [phases, channels, 1, reach, 1]
    down_columns: Tensor  # [phases, channels, 1, 1, reach]
    down_both: Tensor  # [columns' phases, rows' phases, channels, 1, reach, reach]

    def __init__(
        self, plan: Resampling, channels: int, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self._plan = plan
        self._channels = channels
        self._activation = activation
        self._radial = False

    def load(self, up_filter: Tensor | None, down_filter: Tensor | None) -> None:
        """Take filters [up_taps] and [down_taps], or [down_taps]² where it is not separable.

        The up-sampling filter's gain of up² comes on top. None stands for one tap.
        """
        self._radial = down_filter is not None and down_filter.ndim == 2
        if up_filter is not None:
            taps = _by_phase_up(up_filter, self._plan)
            self._lay("up_rows", taps[:, None, None, :, None])
            self._lay("up_columns", taps[:, None, None, None, :])
        if self._radial:
            assert down_filter is not None
            self._lay("down_both", _by_phases_down(down_filter, self._plan)[:, :, None, None])
        elif down_filter is not None:
            taps = _by_phase_down(down_filter, self._plan)
            self._lay("down_rows", taps[:, None, None, :, None])
            self._lay("down_columns", taps[:, None, None, None, :])

    def _lay(self, name: str, kernels: Tensor) -> None:
        """Keep kernels [phases …, 1, 1, rows, columns], for every channel the same."""
        full = kernels.expand(*kernels.shape[:-4], self._channels, 1, -1, -1)
        self.register_buffer(name, full.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x, left = self._cropped(x)
        columns = self._up(x, left, COLUMNS)
        grid = [[self._activation(y) for y in self._up(x, left, ROWS)] for x in columns]
        if self._plan.down_taps == 1:
            return grid[0][0]
        if not self._radial:
            return self._down([self._down(rows, ROWS) for rows in grid], COLUMNS)
        parts = [y for rows in grid for y in rows]
        kernels = self.down_both.flatten(0, 1).unbind()
        stride = (self._plan.step, self._plan.step)
        return _sum([_depthwise(*pair, stride=stride) for pair in zip(parts, kernels, strict=True)])

    def _cropped(self, x: Tensor) -> tuple[Tensor, int]:
        """x without the edges that no filter reads, and how many samples of each axis that is."""
        plan = self._plan
        end = plan.begin + plan.count + plan.width - 1
        start = max(plan.begin // plan.spread, 0)
        stop = min(-(-end // plan.spread), plan.inputs)
        if stop - start < plan.inputs:
            x = x.narrow(ROWS, start, stop - start).narrow(COLUMNS, start, stop - start)
        return x, start

    def _up(self, x: Tensor, left: int, axis: int) -> list[Tensor]:
        """The phases, `count` samples each, of x up-sampled along an axis.

        `left` samples of the axis are missing in front.
        """
        plan = self._plan
        x = _spread(x, plan.spread, axis)
        before = left * plan.spread - plan.begin
        after = plan.count + plan.width - 1 - before - x.shape[axis]
        if plan.up_taps == 1:
            return [_padded(x, before, after, axis)]
        both = max(min(before, after), 0)  # a convolution's own padding is alike at both ends
        x = _padded(x, before - both, after - both, axis)
        padding = (both, 0) if axis == ROWS else (0, both)
        kernels = self.up_rows if axis == ROWS else self.up_columns
        return [_depthwise(x, kernel, padding=padding) for kernel in kernels.unbind()]

    def _down(self, phases: Sequence[Tensor], axis: int) -> Tensor:
        """What is left of a signal in phases, filtered and down-sampled along an axis."""
        step = self._plan.step
        stride = (step, 1) if axis == ROWS else (1, step)
        kernels = self.down_rows if axis == ROWS else self.down_columns
        pairs = zip(phases, kernels.unbind(), strict=True)
        return _sum([_depthwise(*pair, stride=stride) for pair in pairs])


def _by_phase_up(taps: Tensor, plan: Resampling) -> Tensor:
    """The up-sampling filter with its gain in parts [phases, width]."""
    turned = taps.flip(0) * plan.up  # a convolution, where torch correlates
    parts = []
    for phase in range(plan.phases):
        own = turned[plan.first_tap(phase) :: plan.phases]
        before = plan.first_sample(phase) - plan.begin
        parts.append(F.pad(own, (before, plan.width - before - own.shape[0])))
    return torch.stack(parts)


def _by_phase_down(taps: Tensor, plan: Resampling) -> Tensor:
    """The down-sampling filter in parts [phases, reach]; zeros fill up the last."""
    full = F.pad(taps.flip(0), (0, plan.reach * plan.phases - plan.down_taps))
    return full.reshape(plan.reach, plan.phases).T


def _by_phases_down(taps: Tensor, plan: Resampling) -> Tensor:
    """A filter [rows, columns] in parts [columns' phases, rows' phases, reach, reach]."""
    behind = (0, plan.reach * plan.phases - plan.down_taps)
    full = F.pad(taps.flip((0, 1)), behind * 2)
    return full.reshape((plan.reach, plan.phases) * 2).permute(3, 1, 0, 2)


def _depthwise(
    x: Tensor, kernel: Tensor, stride: tuple[int, int] = (1, 1), padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """Correlate each channel with a kernel of its own, [channels, 1, rows, columns]."""
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return reduce(add, parts)


def _spread(x: Tensor, factor: int, axis: int) -> Tensor:
    """factor - 1 zeros behind each sample along an axis.

    For the authors' factors as repeated samples times ones and zeros, which keep to the layout
    of the convolutions around them; writing zeros between samples takes a fifth axis. Where
    1 / factor is no float, samples would be repeated from the wrong places.
    """
    if factor == 1:
        return x
    if factor.bit_count() > 1:
        behind = (0, factor - 1) if axis == COLUMNS else (0, 0, 0, factor - 1)
        return F.pad(x.unsqueeze(axis + 1), behind).flatten(axis, axis + 1)
    scale = [1.0, float(factor)] if axis == COLUMNS else [float(factor), 1.0]
    ones_and_zeros = torch.tensor([1.0] + [0.0] * (factor - 1), device=x.device)
    kept = ones_and_zeros.repeat(x.shape[axis])
    return F.interpolate(x, scale_factor=scale) * (kept if axis == COLUMNS else kept[:, None])


def _padded(x: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Zeros (or, where negative, a crop) at the ends of an axis."""
    if before == after == 0:
        return x
    return F.pad(x, (before, after) if axis == COLUMNS else (0, 0, before, after))

"""Projecting a weight of which every process holds a part (a DTensor, as FSDP2 and tensor parallelism make them).

- single entries: each process clamps its own, with its part of the bounds;
- vectors: if the weight is cut through them it is first dealt out along another dimension, so that each vector is whole
  in one process, and dealt back; where there is no other dimension, every process gets all of it;
  (on CPUs always: gloo has no exchange of parts);
- every process does the same number of exchanges, whatever its part holds: an empty part must not keep the
  others waiting.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from ._base import Constraint
from ._elementwise import within


def is_sharded(w: Tensor) -> bool:
    """Without importing torch.distributed: a process that has not imported it has no such tensor."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(w, module.DTensor)


def project_sharded_(p: Any, constraint: Constraint, metric: Any = None) -> None:
    """Project in place the part of `p` that this process holds; all processes of its mesh must call this."""
    local = p.to_local()
    if constraint.elementwise:
        bounds = constraint.bounds(p.shape, p.dtype, local.device)  # type: ignore[attr-defined]
        local.copy_(within(local, *(_part_of(bound, p) for bound in bounds)))
    else:
        local.copy_(_whole_vectors(p, constraint, metric).to_local())


def violation_sharded(p: Any, constraint: Constraint) -> Tensor:
    """Of the whole weight; the same in all processes."""
    return constraint.violation(p.full_tensor())


def _whole_vectors(p: Any, constraint: Constraint, metric: Any) -> Any:
    from torch.distributed.tensor import DTensor, Replicate, Shard  # noqa: PLC0415 (it is heavy)

    together = constraint.together(p.ndim)
    free = [] if together is None else [d for d in range(p.ndim) if d - p.ndim not in together]
    placements: list[Any] = []
    for placement in p.placements:
        if (type(placement) is Shard and placement.dim in free) or placement.is_replicate():
            placements.append(placement)
        else:
            # The longest free dimension that no other part of the mesh has taken.
            taken = {q.dim for q in (*placements, *p.placements) if isinstance(q, Shard)}
            rest = [d for d in free if d not in taken] if p.device_mesh.device_type != "cpu" else []
            placements.append(Shard(max(rest, key=lambda d: p.shape[d])) if rest else Replicate())
    dealt = p.redistribute(placements=placements)
    weights = None if metric is None else metric.redistribute(placements=placements).to_local()
    projected = constraint.project(dealt.to_local(), weights)
    back = DTensor.from_local(
        projected.contiguous(), p.device_mesh, placements, run_check=False, shape=p.shape, stride=p.stride()
    )
    return back.redistribute(placements=p.placements)


def _part_of(bound: float | Tensor, p: Any) -> float | Tensor:
    """The part of a bound that belongs to this process's entries; every process cuts its own, nothing is exchanged."""
    if not isinstance(bound, Tensor) or bound.ndim == 0:
        return bound
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415

    whole = bound.expand(p.shape).contiguous()
    part: Tensor = distribute_tensor(whole, p.device_mesh, p.placements, src_data_rank=None).to_local()
    return part


def behind(own: dict[str, Any], name: str) -> Any:
    """The shard behind the gathered copy that FSDP2 shows after a forward without a backward; None if there is none.

    `fully_shard` puts such a copy in place of the parameter until the next backward, and no public way leads from a
    module to the shard: torch's own table of states does.
    """
    module = sys.modules.get("torch.distributed._composable_state")
    try:
        for ref in list(getattr(module, "_module_state_mapping", {}).values()):
            for group in getattr(ref(), "_fsdp_param_groups", ()):
                for shard in group.fsdp_params:
                    info = shard._module_info
                    others = zip(info.shared_modules, info.shared_param_names, strict=True)
                    if any(
                        m._parameters is own and leaf == name for m, leaf in ((info.module, info.param_name), *others)
                    ):
                        return shard.sharded_param
    except AttributeError:  # another torch, with other names: what was stepped before is remembered all the same
        return None
    return None


def reshard(model: Any) -> None:
    """Put the shards back in place of the gathered copies, so that names lead to what is trained."""
    module = sys.modules.get("torch.distributed.fsdp")
    if module is not None:
        for part in model.modules():
            if isinstance(part, module.FSDPModule):
                part.reshard()


def swallowed(parameters: Any, own: dict[str, Any], name: str) -> bool:
    """Whether FSDP1 has made the named parameter a part of one of these flat ones (use_orig_params=False)."""
    return any(
        info.module._parameters is own and info.param_name == name
        for p in parameters
        if getattr(p, "_is_flat_param", False)
        for info in p._param_infos
    )

"""Scaled dot-product attention with a choice of kernels.

Shapes: B batch, L queries, S keys, H heads, D head dimension; N and S sums over packed samples.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from src.models.nn.chunked_attention import chunked_attention
from src.models.nn.config import AttentionBackend

# Read once, as torch.compile cannot trace the call.
HAS_AMX = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
AMX_CHUNKED_KEYS = 1024  # with gradients, torch's kernel is no faster up to here


def attention(
    q_BLHD: Tensor,
    k_BSHD: Tensor,
    v_BSHD: Tensor,
    key_mask_BS: Tensor | None = None,
    *,
    backend: AttentionBackend = "auto",
) -> Tensor:
    """Compute full (bidirectional) attention, [B, L, H, D].

    Args:
        key_mask_BS: bool, True where a key may be attended to; None: everywhere. Each row needs one True.
        backend: "sdpa" (any device), "flash" (CUDA, half precision, package flash-attn), "matmul" (any
            device; materializes the attention matrix, and is the fastest on a CPU for up to a few hundred
            tokens), "chunked" (any device; the fastest on a CPU in bfloat16 without AMX) or "auto" (see
            `choose_backend`).

    Raises:
        ValueError: unknown backend, or flash-attn is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"attention must be one of {', '.join(BACKENDS)}, got {backend!r}")
    return BACKENDS[backend](q_BLHD, k_BSHD, v_BSHD, key_mask_BS)


def varlen_attention(
    q_NHD: Tensor,
    k_SHD: Tensor,
    v_SHD: Tensor,
    q_lengths: tuple[int, ...],
    k_lengths: tuple[int, ...],
    *,
    backend: AttentionBackend = "auto",
) -> Tensor:
    """Compute attention within each of several concatenated samples, without padding, [N, H, D].

    Args:
        q_NHD: queries of all samples; keys and values [S, H, D] likewise.
        q_lengths, k_lengths: number of tokens of each sample, at least 1.
        backend: as in `attention`. "flash" is one call of its variable-length kernel; the others loop over
            the samples, which computes only the blocks on the diagonal.
    """
    assert sum(q_lengths) == len(q_NHD), (q_lengths, q_NHD.shape)
    assert sum(k_lengths) == len(k_SHD), (k_lengths, k_SHD.shape)
    if backend == "flash":
        return _flash_varlen(q_NHD, k_SHD, v_SHD, q_lengths, k_lengths)
    samples = zip(q_NHD.split(q_lengths), k_SHD.split(k_lengths), v_SHD.split(k_lengths), strict=True)
    return torch.cat([attention(q[None], k[None], v[None], backend=backend)[0] for q, k, v in samples])


def choose_backend(
    device_type: str, dtype: torch.dtype, num_keys: int, *, needs_grad: bool, has_amx: bool
) -> AttentionBackend:
    """Return the faster of "sdpa" and "chunked", as measured in docs/results.md.

    With AMX torch's own kernel multiplies bfloat16 in hardware, but its backward pass is slow on short rows.
    Without AMX it computes bfloat16 at the speed of float32.
    """
    if device_type != "cpu" or dtype != torch.bfloat16:
        return "sdpa"
    if has_amx and not (needs_grad and num_keys <= AMX_CHUNKED_KEYS):
        return "sdpa"
    return "chunked"


def _auto(q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None) -> Tensor:
    backend = choose_backend(
        q_BLHD.device.type,
        q_BLHD.dtype,
        k_BSHD.shape[1],
        needs_grad=torch.is_grad_enabled() and any(each.requires_grad for each in (q_BLHD, k_BSHD, v_BSHD)),
        has_amx=HAS_AMX,
    )
    return BACKENDS[backend](q_BLHD, k_BSHD, v_BSHD, key_mask_BS)


def _sdpa(q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None) -> Tensor:
    mask_B11S = None if key_mask_BS is None else key_mask_BS[:, None, None, :]
    out_BHLD = F.scaled_dot_product_attention(
        q_BLHD.transpose(1, 2), k_BSHD.transpose(1, 2), v_BSHD.transpose(1, 2), attn_mask=mask_B11S
    )
    return out_BHLD.transpose(1, 2)


def _matmul(q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None) -> Tensor:
    scale = q_BLHD.shape[-1] ** -0.5
    logits_BHLS: Tensor = (q_BLHD.transpose(1, 2) @ k_BSHD.permute(0, 2, 3, 1)).float() * scale
    if key_mask_BS is not None:
        logits_BHLS = logits_BHLS.masked_fill(~key_mask_BS[:, None, None, :], float("-inf"))
    weights_BHLS = logits_BHLS.softmax(-1).to(v_BSHD.dtype)
    return (weights_BHLS @ v_BSHD.transpose(1, 2)).transpose(1, 2)


def _flash(q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None) -> Tensor:
    try:
        import flash_attn
    except ImportError as error:
        raise ValueError("attention=flash needs the package flash-attn (extra `flash`) and a GPU") from error
    if key_mask_BS is None:
        out: Tensor = flash_attn.flash_attn_func(q_BLHD, k_BSHD, v_BSHD)
        return out
    # The kernel takes no mask: drop the masked keys and pass the offset of each sample.
    num_samples, num_queries = q_BLHD.shape[:2]
    lengths_B = key_mask_BS.sum(1, dtype=torch.int32)
    out_NHD = flash_attn.flash_attn_varlen_func(
        q_BLHD.flatten(0, 1),
        k_BSHD[key_mask_BS],
        v_BSHD[key_mask_BS],
        cu_seqlens_q=num_queries * torch.arange(num_samples + 1, dtype=torch.int32, device=q_BLHD.device),
        cu_seqlens_k=F.pad(lengths_B.cumsum(0, dtype=torch.int32), (1, 0)),
        max_seqlen_q=num_queries,
        max_seqlen_k=k_BSHD.shape[1],  # an upper bound: the exact maximum would synchronize with the GPU
    )
    out_BLHD: Tensor = out_NHD.unflatten(0, (num_samples, num_queries))
    return out_BLHD


def _flash_varlen(
    q_NHD: Tensor, k_SHD: Tensor, v_SHD: Tensor, q_lengths: tuple[int, ...], k_lengths: tuple[int, ...]
) -> Tensor:
    try:
        import flash_attn
    except ImportError as error:
        raise ValueError("attention=flash needs the package flash-attn (extra `flash`) and a GPU") from error

    def offsets(lengths: tuple[int, ...]) -> Tensor:
        return F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).to(q_NHD.device, torch.int32)

    out: Tensor = flash_attn.flash_attn_varlen_func(
        q_NHD,
        k_SHD,
        v_SHD,
        cu_seqlens_q=offsets(q_lengths),
        cu_seqlens_k=offsets(k_lengths),
        max_seqlen_q=max(q_lengths),
        max_seqlen_k=max(k_lengths),
    )
    return out


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
BACKENDS: dict[str, Kernel] = {
    "auto": _auto,
    "sdpa": _sdpa,
    "flash": _flash,
    "matmul": _matmul,
    "chunked": chunked_attention,
}

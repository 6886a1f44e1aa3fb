"""One process of the ViZDoom engine, advanced tic by tic.

The engine is started in a temporary folder (it writes files where it starts) and under fixed OpenAL settings,
so that the user's own do not change the audio.
"""

import contextlib
import ctypes.util
import importlib.metadata
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from data.vizdoom.maps import game_file, scenario_file
from data.vizdoom.observation import PICKUPS, Action, Lines, Media, Thing, Tic
from data.vizdoom.timing import SAMPLES_PER_TIC
from data.vizdoom.world_patch import CUES, EXPLOSION_MARK, FLASHES, read_lumps, write_patch
from src.core.errors import UserError

WEAPON_SLOTS = {"pistol": 2, "shotgun": 3, "plasma rifle": 6}
BARREL = "MarkedBarrel"
NOTED = frozenset({EXPLOSION_MARK, BARREL, *FLASHES, *CUES})
AMMO = ("give Clip 400", "give Shell 100", "give Cell 600")
_GIVEN = ("god", "give Keys", "give Pistol", "give Shotgun", "give PlasmaRifle", *AMMO)
_ARGUMENTS = (
    "+snd_efx 0 -nomonsters +neverswitchonpickup 1 +cl_showsecretmessage 0 +con_notifytime 0 "
    "+con_midtime 0.03 +cl_maxdecals 0 +movebob 0.25"
)
_OPENAL = "[general]\nchannels=stereo\nstereo-mode=speakers\nhrtf=false\nstereo-encoding=panpot\ncf_level=0\n"


def require_engine() -> None:
    """Raise UserError where the engine or its audio cannot run: what is missing, and how to install it."""
    if importlib.util.find_spec("vizdoom") is None:
        raise UserError(
            "source=vizdoom needs the ViZDoom package: "
            "pip install --no-deps --require-hashes -r requirements/games.lock"
        )
    if ctypes.util.find_library("openal") is None:
        raise UserError(
            "source=vizdoom needs OpenAL, without which the game's audio is all zeros: "
            "apt-get install libopenal1"
        )


def map_lumps(name: str) -> list[tuple[str, bytes]]:
    """Return the lumps of the file that holds a map."""
    import vizdoom

    root, scenario = Path(vizdoom.root_path), scenario_file(name)
    path = root / "scenarios" / scenario if scenario else root / game_file(name)
    return read_lumps(path.read_bytes())


def engine_version() -> str:
    """Return the version of the installed engine."""
    return importlib.metadata.version("vizdoom")


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Start a process in a folder with OpenAL's settings of that folder."""
    (folder / "alsoft.conf").write_text(_OPENAL)
    before = os.environ.get("ALSOFT_CONF")
    os.environ["ALSOFT_CONF"] = str(folder / "alsoft.conf")
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        if before is None:
            del os.environ["ALSOFT_CONF"]
        else:
            os.environ["ALSOFT_CONF"] = before


class Engine:
    """A running game; a context manager that ends the process.

    Raises:
        UserError: the engine does not start, with its own message.
    """

    def __init__(self, name: str, seed: int, show_weapon: bool = True) -> None:
        import vizdoom

        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="vizdoom_")
        self._vizdoom = vizdoom
        folder, root = Path(self._folder.name), Path(vizdoom.root_path)
        scenario = scenario_file(name)
        write_patch(folder / "patch.wad", root / "scenarios" / scenario if scenario else None)
        game = vizdoom.DoomGame()
        game.set_doom_game_path(str(root / game_file(name)))
        game.set_doom_scenario_path(str(folder / "patch.wad"))
        game.set_doom_map(name.split("/")[1])
        game.set_doom_config_path(str(folder / "vizdoom.ini"))
        game.set_seed(seed % 2**31)
        game.set_doom_skill(1)
        game.set_episode_timeout(10**6)
        game.set_episode_start_time(1)
        game.set_mode(vizdoom.Mode.PLAYER)
        _set_outputs(game, vizdoom, show_weapon)
        game.add_game_args(_ARGUMENTS)
        self._game = game
        with _environment(folder):
            game.init()
        self._sectors: list[Lines] = []
        self._prepare_player()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._game.close()
        self._folder.cleanup()

    def command(self, text: str) -> None:
        """Run a command of the game's console in the next tic."""
        self._game.send_game_command(text)

    @property
    def sectors(self) -> list[Lines]:
        """Borders of each sector of the map."""
        return self._sectors

    def restart(self) -> None:
        """Begin the map again, after the player has left it."""
        self._game.new_episode()
        self._prepare_player()

    def act(self, action: Action) -> tuple[Tic, Media] | None:
        """Advance by one tic; None if the player has left the map."""
        self._game.make_action(_keys(action), 1)
        return self._observe()

    def skip(self, num_tics: int) -> bool:
        """Advance without observing; return whether the player is still on the map."""
        if num_tics > 0:
            self._game.make_action(_keys(Action()), num_tics)
        return not self._game.is_episode_finished()

    def _prepare_player(self) -> None:
        for text in _GIVEN:
            self.command(text)
        self._game.make_action(_keys(Action()), 2)
        sectors = self._game.get_state().sectors
        self._sectors = [tuple((e.x1, e.y1, e.x2, e.y2) for e in sector.lines) for sector in sectors]

    def _observe(self) -> tuple[Tic, Media] | None:
        state = self._game.get_state()
        if state is None:
            return None
        x, y, angle, weapon, ammo = (float(v) for v in state.game_variables)
        things = {
            each.id: Thing(each.name, each.category, each.position_x, each.position_y)
            for each in state.objects
            if each.name in NOTED or each.category in PICKUPS
        }
        area = state.screen_buffer.shape[0] * state.screen_buffer.shape[1]
        visible = {label.object_id: round(label.width * label.height / area, 5) for label in state.labels}
        names = {label.object_id: label for label in state.labels}
        for number, label in names.items():  # decorations: not tracked but named in captions
            if number not in things and label.object_name != "DoomPlayer":
                things[number] = Thing(
                    label.object_name, label.object_category, label.object_position_x, label.object_position_y
                )
        heights = tuple((sector.floor_height, sector.ceiling_height) for sector in state.sectors)
        tic = Tic(x, y, angle, int(weapon), int(ammo), things, visible, heights)
        samples_SC = state.audio_buffer
        assert samples_SC.shape == (SAMPLES_PER_TIC, 2), samples_SC.shape
        return tic, Media(state.screen_buffer.copy(), state.depth_buffer.copy(), samples_SC.astype(np.int16))


def _set_outputs(game: Any, vizdoom: Any, show_weapon: bool) -> None:
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_256X192)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_window_visible(False)
    game.set_audio_buffer_enabled(True)
    game.set_audio_sampling_rate(vizdoom.SamplingRate.SR_44100)
    game.set_audio_buffer_size(1)
    game.set_labels_buffer_enabled(True)
    game.set_depth_buffer_enabled(True)
    game.set_objects_info_enabled(True)
    game.set_sectors_info_enabled(True)
    game.set_render_weapon(show_weapon)
    for off in ("hud", "crosshair", "decals", "messages", "screen_flashes", "corpses", "particles"):
        getattr(game, f"set_render_{off}")(False)
    button, variable = vizdoom.Button, vizdoom.GameVariable
    game.set_available_buttons(
        [
            *(button.ATTACK, button.USE, button.MOVE_FORWARD, button.MOVE_LEFT, button.MOVE_RIGHT),
            *(
                button.TURN_LEFT_RIGHT_DELTA,
                button.SELECT_WEAPON2,
                button.SELECT_WEAPON3,
                button.SELECT_WEAPON6,
            ),
        ]
    )
    game.set_available_game_variables(
        [
            *(variable.POSITION_X, variable.POSITION_Y, variable.ANGLE),
            *(variable.SELECTED_WEAPON, variable.SELECTED_WEAPON_AMMO),
        ]
    )


def _keys(a: Action) -> list[float]:
    select = [float(a.weapon == slot) for slot in (2, 3, 6)]
    return [float(a.attack), float(a.use), float(a.forward), float(a.left), float(a.right), a.turn, *select]

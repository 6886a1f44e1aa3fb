"""Requests to a judge, JSON objects: to a program, a line for each, or to an HTTP server."""

import base64
import io
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
from PIL import Image

from eval.judges.config import JudgeConfig

BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which a server is asked again
FIRST_WAIT_S = 1.0  # before the first retry; doubled before each further one


class JudgeError(ValueError):
    """The judge gave no usable answer; the message says why, in one line."""


class Judge(Protocol):
    """Answers a request."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the judge's object, or raise JudgeError."""
        ...

    def close(self) -> None:
        """End the program, if it is one."""
        ...


def connect(config: JudgeConfig) -> Judge:
    """Return the judge that a config names; it is started or called at the first request."""
    return ProgramJudge(config) if config.command else ServerJudge(config)


class ProgramJudge:
    """A program that stays: it reads a line of JSON for each request and writes a line of JSON.

    One that has ended is started again for the next request, so a crash costs one sample.
    """

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self._program: _Program | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_program": None}  # each worker process has a program of its own

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._program is None:
            self._program = _Program.start(self.config.command)
        try:
            line = self._program.ask(json.dumps(request), self.config.timeout_s)
        except JudgeError:
            self._program = None
            raise
        return parse_answer(line)

    def close(self) -> None:
        """End the program."""
        if self._program is not None:
            self._program.end()
            self._program = None

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class _Program:
    """A running program, the lines that it has written, and the file of its errors."""

    process: "subprocess.Popen[str]"
    lines: "queue.Queue[str]"
    reader: threading.Thread
    errors: IO[str]

    @classmethod
    def start(cls, command: Sequence[str]) -> "_Program":
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  read when the program has ended
        pipe, words = subprocess.PIPE, [os.path.expanduser(each) for each in command]
        try:
            process = subprocess.Popen(
                words, stdin=pipe, stdout=pipe, stderr=errors, text=True, encoding="utf-8"
            )
        except OSError as error:
            errors.close()
            raise JudgeError(f"{command[0]}: {error.strerror}") from None
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True)
        reader.start()
        return cls(process, lines, reader, errors)

    def ask(self, text: str, timeout_s: float) -> str:
        """Return the answer to a line; without one the program is ended, and JudgeError says why."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            self.end()
            raise JudgeError(f"no answer within {timeout_s:g} s") from None
        except BrokenPipeError:
            line = ""
        if not line:
            raise JudgeError(f"the program ended without an answer: {self.end()}")
        return line

    def end(self) -> str:
        """End the program and return the last line of its errors."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        return lines[-1] if lines else "it wrote no error"


def _forward(stream: Any, lines: "queue.Queue[str]") -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


class ServerJudge:
    """An HTTP server that a request is posted to."""

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(request).encode()
        for attempt in range(self.config.num_retries + 1):
            if attempt:
                time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
            post = urllib.request.Request(
                self.config.url, data, {"Content-Type": "application/json"}, method="POST"
            )
            try:
                with urllib.request.urlopen(post, timeout=self.config.timeout_s) as answer:
                    return parse_answer(answer.read().decode("utf-8", "replace"))
            except urllib.error.HTTPError as error:
                reason, final = f"the server answers {error.code} {error.reason}", error.code not in BUSY
            except (OSError, TimeoutError) as error:
                reason, final = f"the server does not answer: {getattr(error, 'reason', error)}", False
            if final:
                break
        raise JudgeError(reason)

    def close(self) -> None:
        """Do nothing: each request has a connection of its own."""


def parse_answer(text: str) -> dict[str, Any]:
    """Return the object of an answer.

    Raises:
        JudgeError: it is no JSON object, or says `error`.
    """
    try:
        answer = json.loads(text)
    except ValueError:
        raise JudgeError(f"expected a JSON object, got {text.strip()[:80]!r}") from None
    if not isinstance(answer, dict):
        raise JudgeError(f"expected a JSON object, got {text.strip()[:80]!r}")
    if "error" in answer:
        raise JudgeError(f"the judge says: {answer['error']}")
    return answer


def encode_png(frame_HWC: np.ndarray) -> str:
    """Return a frame as PNG in base64."""
    data = io.BytesIO()
    Image.fromarray(frame_HWC).save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")

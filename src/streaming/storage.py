"""Objects of a data set in a store (s3://, gs://, ...), by LitData's downloaders, retried and checked."""

import json
import os
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.config import Config as BotoConfig
from litdata.streaming.downloader import Downloader, get_downloader

from src.streaming import http_downloader
from src.streaming.config import StorageConfig
from src.streaming.schema.bucket import DamagedError, DataError

SCHEMES = ("s3://", "gs://", "r2://", "azure://", "hf://", "http://", "https://", "local:")
ENVIRONMENT = "MOVIEGEN_STORAGE_OPTIONS"  # JSON: options of the store's client, credentials among them
FINAL = {400, 401, 403, 404, 405, 410}  # statuses that another try does not change
FINAL_ERRORS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "ModuleNotFoundError",
    "ParamValidationError",
}
MAX_WAIT_S = 15.0


def is_remote(path: str | Path) -> bool:
    """Return whether a data set's path is an address of a store."""
    return str(path).startswith(SCHEMES)


class Storage:
    """The objects below one address. Picklable; clients are created on first use in each process.

    Args:
        address: of the data set, such as s3://bucket/set.
    """

    def __init__(self, address: str, config: StorageConfig) -> None:
        self.address, self.config = address.rstrip("/"), config

    def fetch(self, name: str, target: Path, check: Callable[[Path], str] | None = None) -> None:
        """Download object `name` to a path, trying again until it passes or `patience_s` are over.

        Args:
            target: appears when it is complete; its directory exists.
            check: says what is wrong with a downloaded file; empty: nothing.

        Raises:
            DataError: names the object, the tries and the last error in one line.
        """
        started, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            error = self._attempt(name, target, check)
            if error is None:
                return
            target.unlink(missing_ok=True)
            spent = time.monotonic() - started
            wait = min(0.25 * 2**attempts, MAX_WAIT_S)
            if is_final(error) or spent + wait > self.config.patience_s:
                kind = DamagedError if isinstance(error, DamagedError) else DataError
                raise kind(
                    f"{self.address}/{name}: cannot be downloaded ({attempts} attempts in {spent:.0f} s): "
                    f"{_one_line(error)}"
                ) from error
            time.sleep(wait)

    def _attempt(self, name: str, target: Path, check: Callable[[Path], str] | None) -> Exception | None:
        """Return what went wrong; None: nothing."""
        outcome: list[Exception | None] = []
        # Clients limit the time without a byte, not that of a download that trickles: hence a thread that
        # is left alone when it takes too long.
        thread = threading.Thread(
            target=lambda: outcome.append(self._try_download(name, target, check)), daemon=True
        )
        thread.start()
        thread.join(self.config.attempt_s)
        return outcome[0] if outcome else TimeoutError(f"not complete after {self.config.attempt_s:g} s")

    def _try_download(self, name: str, target: Path, check: Callable[[Path], str] | None) -> Exception | None:
        try:
            self._download(f"{self.address}/{name}", target)
            # LitData's `download_file` returns without a file while another process holds its lock
            if not target.is_file():
                return OSError("the downloader returned without a file")
            fault = check(target) if check else ""
            return DamagedError(fault) if fault else None
        except Exception as error:  # each store's client has errors of its own
            return error

    def _download(self, address: str, target: Path) -> None:
        downloader = self._downloader
        if type(downloader).download_fileobj is Downloader.download_fileobj:  # hf, local: files only
            downloader.download_file(address, str(target))
            return
        # Preferred: takes no lock and, for s3, goes through boto3, which reads endpoints and credentials
        # from the environment; LitData's obstore refuses endpoints of plain http.
        with open(target, "wb") as file:
            downloader.download_fileobj(address, file)

    @cached_property
    def _downloader(self) -> Downloader:
        http_downloader.register()
        return get_downloader(self.address, "", [], storage_options(self.address, self.config))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_downloader"}


def storage_options(address: str, config: StorageConfig) -> dict[str, Any]:
    """Return the options of a store's client: the config's, then those of the environment.

    Raises:
        DataError: the environment's are not a JSON object.
    """
    options: dict[str, Any] = dict(config.options)
    try:
        options |= json.loads(os.environ.get(ENVIRONMENT) or "{}")
    except (ValueError, TypeError):
        raise DataError(f"{ENVIRONMENT}: not a JSON object of options of the store's client") from None
    if address.startswith(("s3://", "r2://")):
        # LitData's own setting tries a thousand times: a dead server would hang a run without a word.
        retries = {"max_attempts": 2, "mode": "standard"}
        options.setdefault("config", BotoConfig(connect_timeout=10, read_timeout=30, retries=retries))
    return options


def is_final(error: Exception) -> bool:
    """Return whether another try would give the same error: not there, not allowed, no credentials."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(response, "status_code", None) or getattr(error, "code", None)
    if isinstance(error, DataError):
        return not isinstance(error, DamagedError)
    names = {kind.__name__ for kind in type(error).__mro__}
    return status in FINAL or bool(names & FINAL_ERRORS) or isinstance(error, FileNotFoundError)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."

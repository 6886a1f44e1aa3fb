"""Download chunks over http(s), which LitData 0.2.76 takes for paths of local files."""

from typing import IO, Any

import requests
from litdata.streaming.downloader import Downloader, register_downloader

PIECE = 1 << 20  # bytes
TIMEOUT = (10, 30)  # seconds to connect, and without a byte


class HTTPDownloader(Downloader):
    """A LitData downloader of http:// and https:// addresses."""

    def download_fileobj(self, remote_filepath: str, fileobj: IO[bytes]) -> None:
        """Write an object to an open file; requests.HTTPError with the status if the server refuses."""
        with requests.get(remote_filepath, stream=True, timeout=TIMEOUT, headers=self._headers()) as response:
            response.raise_for_status()
            for piece in response.iter_content(PIECE):
                fileobj.write(piece)

    def download_file(self, remote_filepath: str, local_filepath: str) -> None:
        """Download an object; the file appears when it is complete."""
        temporary = self._temp_download_path(local_filepath)
        with open(temporary, "wb") as file:
            self.download_fileobj(remote_filepath, file)
        self._publish_file(temporary, local_filepath)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, Any] = self._storage_options.get("headers", {})
        return {**headers, "Accept-Encoding": "identity"}


def register() -> None:
    """Make LitData use this class for http:// and https:// addresses."""
    for scheme in ("http://", "https://"):
        register_downloader(scheme, HTTPDownloader, overwrite=True)

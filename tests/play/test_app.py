"""The page on the shipped weights: options, videos with verdict and trajectory, uploads, refusals."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from play.__main__ import main
from play.app import create_app
from play.config import PlayConfig
from play.session import PlaySession
from src.core.errors import UserError

PROMPT = "Static shot. A red star moves right."


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    settings = PlayConfig(
        out=str(tmp_path_factory.mktemp("play")), device="cpu", precision="fp32", num_predictions=3
    )
    return TestClient(create_app(PlaySession(settings)))


def test_page_and_options(client: TestClient) -> None:
    page = client.get("/")
    assert "/static/play.js" in page.text
    assert "http" not in page.text  # nothing from elsewhere
    assert client.get("/static/play.js").status_code == client.get("/static/style.css").status_code == 200
    options = client.get("/options").json()
    assert options["lengths"] == [1, 8, 16]
    assert options["sizes"][0] == "64x64" == options["defaults"]["size"]
    assert options["trained_sizes"] == ["64x64"]
    assert not options["reads_images"]
    assert client.get("/prompt?seed=3").json()["prompt"].startswith("Static shot.")


def test_a_video_with_verdict_and_trajectory(client: TestClient) -> None:
    request = {"prompt": PROMPT, "seed": "1", "num_steps": "12", "guidance_scale": "3", "fps": "16"}
    result = client.post("/generate", json=request).json()
    assert (result["kind"], result["seed"], result["has_audio"]) == ("video", 1, True)
    assert {check["aspect"] for check in result["verdict"]["checks"]} == {"subject", "motion", "camera"}
    assert result["verdict"]["read"][0].startswith("red star")
    assert [each["step"] for each in result["trajectory"]] == [0, 6, 11]
    for path in (result["path"], *(each["path"] for each in result["trajectory"])):
        assert client.get(f"/files/{path}").status_code == 200
    again = client.post("/generate", json=request).json()
    assert again["path"] != result["path"]
    assert client.get(f"/files/{again['path']}").content == client.get(f"/files/{result['path']}").content


def test_an_image(client: TestClient) -> None:
    request = {"prompt": "A blue ring.", "num_frames": 1, "num_steps": 4, "height": 48, "width": 64}
    result = client.post("/generate", json=request).json()
    assert result["kind"] == "image"
    assert "none of the buckets" in result["warnings"][0]
    image = Image.open(io.BytesIO(client.get(f"/files/{result['path']}").content))
    assert image.size == (64, 48)


def test_an_uploaded_image_is_reconstructed(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((80, 100, 3), (90, 90, 90), np.uint8)).save(buffer, "PNG")
    result = client.post("/upload", content=buffer.getvalue()).json()
    assert result["psnr"] > 15
    assert not result["is_first_frame"]
    assert client.get(f"/files/{result['reconstruction']}").headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": PROMPT, "seed": "x"}, "seed: expected a number, got 'x'"),
        ({"prompt": PROMPT, "height": 40}, "height=40: must be a multiple of 16"),
        ({"prompt": PROMPT, "num_steps": 0}, "num_steps must be at least 1"),
        ([], "expected a JSON object"),
    ],
)
def test_refusals_are_one_line(client: TestClient, body: object, message: str) -> None:
    answer = client.post("/generate", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_only_pages_of_this_machine_may_ask(client: TestClient) -> None:
    headers = {"origin": "http://elsewhere.example"}
    assert client.post("/generate", json={"prompt": PROMPT}, headers=headers).status_code == 403
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    assert client.post("/upload", content=b"text").json()["error"].startswith("not an image")
    assert client.post("/upload", content=b"0" * (4 * 2**20 + 1)).status_code == 413
    assert client.get("/files/../config.yaml").status_code == 404


def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean port"):
        main(["prot=1"])
    with pytest.raises(UserError, match="neither a folder of weights"):
        main([f"run={tmp_path}/none", "port=0", f"out={tmp_path}"])

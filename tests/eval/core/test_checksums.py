import hashlib

import pytest

from eval.core.checksums import verified_sha256


def test_a_file_is_the_one_that_was_meant(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert verified_sha256(path) == verified_sha256(str(path), digest.upper()) == digest
    with pytest.raises(ValueError, match=rf"statistics: .*weights\.pt has sha256 {digest}, expected 00"):
        verified_sha256(path, "00", "statistics")
    with pytest.raises(ValueError, match=r"weights: no such file: .*; nothing is downloaded"):
        verified_sha256(tmp_path / "none.pt")

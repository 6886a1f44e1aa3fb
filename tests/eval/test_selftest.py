from eval.selftest import Finding, SelftestConfig, findings, table


def test_every_value_moves_the_right_way():
    found = findings(SelftestConfig(num=1))
    assert [(f.trial, f.value, f.means) for f in found if not f.right_way] == []
    assert sum(f.monotonic for f in found) >= 0.85 * len(found)


def test_the_table_names_what_went_wrong():
    good, bad = Finding("x", "psnr", -1, (3.0, 2.0, 2.5)), Finding("x", "ssim", 1, (3.0, 2.0))
    assert (good.right_way, good.monotonic, bad.right_way) == (True, False, False)
    assert "| x | ssim | rise | 3, 2 | **no** | no |" in table([good, bad])

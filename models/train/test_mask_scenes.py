"""What the masks learn from: labels that hold, and composed scenes whose labels are true."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hand_masks
import mask_photos
from mask_net import CLASSES, WORK, Encoder, MaskNet
from mask_photos import FOLIAGE, NONE, SKIP, SKY, WATER, Labelled
from mask_scenes import MaskScenes

COLOURS = {NONE: (200, 30, 30), WATER: (20, 60, 200), FOLIAGE: (30, 160, 30), SKY: (150, 190, 250)}
PHOTOS = json.loads(mask_photos.LABELS.read_text())["photos"]


def flat(above: int, below: int) -> Labelled:
    """A picture of two kinds, each in a colour of its own."""
    label = np.full((240, 320), above, np.uint8)
    label[120:] = below
    picture = np.zeros((240, 320, 3), np.uint8)
    for kind in (above, below):
        picture[label == kind] = COLOURS[kind]
    return Labelled(picture, label, False, 1)


@pytest.mark.parametrize("photo", PHOTOS, ids=[p["file"] for p in PHOTOS])
def test_labels_are_outlines_within_the_picture(photo: dict) -> None:
    assert photo["licence"] and photo["ground"] in mask_photos.KINDS
    for area in photo["areas"]:
        assert area["kind"] in mask_photos.KINDS and len(area["outline"]) >= 3
        assert all(0 <= n <= 100 for point in area["outline"] for n in point)


def test_no_photograph_of_the_test_is_learnt() -> None:
    tested = {photo.name for photo in hand_masks.photos()} | {"chelsea", "face"}
    for photo in PHOTOS:
        assert photo["file"].split("/")[-1].split(".")[0] not in tested


def test_a_pack_holds_pictures_and_labels(tmp_path: Path) -> None:
    label = np.zeros((100, 160), np.uint8)
    label[40:] = WATER
    image = Image.fromarray(np.where(label[..., None] == WATER, 200, 20).astype(np.uint8).repeat(3, 2))
    mask_photos.write([(image, label, False, 3)], tmp_path / "pack.npz")
    (photo,) = mask_photos.load(tmp_path / "pack.npz")
    assert (photo.label == label).all() and photo.times == 3 and not photo.panorama
    assert abs(photo.picture.astype(int) - np.array(image)).mean() < 2


def test_scenes_show_what_their_labels_say() -> None:
    photos = [flat(SKY, WATER), flat(SKY, FOLIAGE), flat(NONE, NONE)]
    scenes = MaskScenes(photos, "cpu", 1, views=1)
    picture, label = scenes.crops(torch.tensor([0, 1, 2]))
    for kind, colour in COLOURS.items():
        shown = picture.permute(0, 2, 3, 1)[label == kind] * 255
        # All but the border between two kinds, which is mixed.
        assert (shown - torch.tensor(colour)).abs().amax(1).median() < 3
    picture, label = scenes.batch(2)
    assert picture.shape == (2, 3, WORK, WORK) and label.shape == (2, WORK, WORK)
    assert picture.abs().max() <= 1 and label.min() >= NONE and label.max() <= SKIP


def test_a_panorama_is_read(tmp_path: Path) -> None:
    (tmp_path / "sky.hdr").write_bytes(
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 8\n"
        + 2
        * (b"\x02\x02\x00\x08" + b"\x88\x80" + b"\x88\x40" + b"\x04\x20\x20\x10\x10\x84\x08" + b"\x88\x81")
    )
    light = mask_photos.radiance(tmp_path / "sky.hdr")
    assert light.shape == (2, 8, 3)
    assert light[1, 0].tolist() == [1.0, 0.5, 0.25] and light[0, 7].tolist() == [1.0, 0.5, 0.0625]


def test_the_network_weighs_four_kinds_and_nothing() -> None:
    seen = torch.zeros(2, 3, WORK, WORK)
    assert MaskNet().eval()(seen).shape == (2, 1 + len(CLASSES), WORK // 2, WORK // 2)
    assert mask_photos.KINDS[1 : 1 + len(CLASSES)] == CLASSES


def test_the_encoder_refuses_weights_of_another(tmp_path: Path) -> None:
    encoder = Encoder()
    known = {name: torch.full_like(value, 0.5) for name, value in encoder.state_dict().items()}
    torch.save(known, tmp_path / "known.pth")
    encoder.start_from(tmp_path / "known.pth")
    assert all(bool((p == 0.5).all()) for p in encoder.parameters())
    torch.save({name: value[:1] for name, value in known.items() if value.ndim}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not fit"):
        encoder.start_from(tmp_path / "other.pth")

"""The words that captions are built from, their slips, and the batches that training takes."""

import argparse
import json
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

import evaluate_words
import phrases
import train_words
from draws import FAST, NORMAL, SLOW
from kinds import KINDS
from typos import Typos
from vocabulary import Vocabulary, entries, held, mirrored
from words_nets import MotionHead, Sizes, TextEncoder, widened

TEXTS = {
    "zh": "镜头慢慢推近，雨一直下",
    "ja": "カメラがゆっくり左へ動く、雪が降る",
    "ru": "камера медленно едет влево, падают листья",
}
WEIGHTS = Path(__file__).with_name("weights")


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_every_kind_is_said_at_every_speed(name: str) -> None:
    vocabulary = Vocabulary(Random(1), name)
    for kind in KINDS:
        for speed in (SLOW, NORMAL, FAST):
            if kind == "static" and speed != NORMAL:
                continue
            assert vocabulary.has(kind, speed), kind
            said = {vocabulary.clause(kind, speed) for _ in range(200)}
            assert len(said) > 20, (kind, speed)
            assert not any("{n}" in text or "|" in text for text in said)


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_a_thing_alone_has_no_speed(name: str) -> None:
    vocabulary = Vocabulary(Random(1), name)
    # In one order, so that every run draws the same: a set of names has another order in each process.
    for kind in sorted(vocabulary.counted):
        things = set(vocabulary.some(kind, "things"))
        for speed, field in ((SLOW, "slow_things"), (FAST, "fast_things")):
            own = set(vocabulary.some(kind, field))
            said = {vocabulary.at_speed(kind, speed) for _ in range(4000)}
            assert not said & (things - own), kind
            assert said & own or not own, kind


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_a_few_of_a_thing_is_no_other_thing(name: str) -> None:
    vocabulary = Vocabulary(Random(1), name)
    for kind in vocabulary.counted:
        things = vocabulary.some(kind, "things")
        for amounts, field in (("few", "slow_things"), ("many", "fast_things")):
            other = set(things) - set(vocabulary.some(kind, field))
            said = {
                vocabulary.framed(amount, thing) for amount in vocabulary.words[amounts] for thing in things
            }
            assert not said & other, kind


def test_right_is_left_mirrored() -> None:
    fields = {"whole": "pan left|leftwards to the right", "things": "camera"}
    assert mirrored(fields, entries("leftwards:rightwards|left:right")) == {
        "whole": "pan right|rightwards to the left",
        "things": "camera",
    }


def test_what_is_held_out_is_never_drawn_and_else_alone() -> None:
    learnt, kept = Vocabulary(Random(1), "de", False), Vocabulary(Random(1), "de", True)
    all_of = Vocabulary(Random(1), "de")
    for kind, fields in all_of.kinds.items():
        for field, some in fields.items():
            out = {entry for entry in some if held(entry)}
            if out and out != set(some):
                assert not out & set(learnt.kinds[kind][field])
                assert set(kept.kinds[kind][field]) == out


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_slips_are_small_and_leave_the_marks(name: str) -> None:
    text = TEXTS.get(name, "the camera moves slowly to the left, schnelle Kamera, hojas cayendo")
    marked = phrases.mark(text, "rain", "snow")
    typos = Typos(Random(1))
    spoilt = [typos.spoil(marked, name) for _ in range(300)]
    assert sum(one != marked for one in spoilt) > 150
    for one in spoilt:
        assert re.sub("[^\ue000-\uf8ff]", "", one) == marked[0] + marked[-1]
        assert abs(len(one) - len(marked)) <= 15


def test_words_are_shortened_as_in_a_chat() -> None:
    typos = Typos(Random(1))
    for name, text, short in [
        ("fr", "quelques gouttes", "qqs"),
        ("pt", "vento para a esquerda", "p/"),
        ("en", "Please, falling snow", "fallin"),
        ("ru", "очень чуть-чуть снега", "чутка"),
    ]:
        marked = phrases.mark(text, "rain", "snow")
        said = [typos.shortened(marked, name) for _ in range(60)]
        assert any(short in one for one in said)
        assert all(one[0] + one[-1] == marked[0] + marked[-1] for one in said)
    assert typos.shortened("雪が降る", "ja") == "雪が降る"


def test_a_part_is_read_as_its_captions_say(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((WEIGHTS / "tokenizer.json").read_bytes())
    words = {name: ["table", "日"] for name in phrases.LANGUAGES}
    (tmp_path / "common_words.json").write_text(json.dumps(words))
    source = train_words.Source(tmp_path, 3, held_out=False)
    part = source.part(200)
    assert 190 <= sum(len(columns[0]) for columns in part.values()) <= 200
    for length, (ids, classes, first, second, known) in part.items():
        n = len(ids)
        assert ids.shape == first.shape == second.shape == (n, length)
        assert classes.shape == (n, len(KINDS)) and known.shape == (n,)
        assert (ids >= 0).all() and (first <= len(KINDS)).all()
    batches = train_words.batches_of(part, 100)
    assert sum(len(batch.ids) for batch in batches) == sum(len(columns[0]) for columns in part.values())


def source_in(folder: Path, lengths: tuple[int, ...] = tuple(range(78))) -> train_words.Source:
    (folder / "tokenizer.json").write_bytes((WEIGHTS / "tokenizer.json").read_bytes())
    words = {name: ["table", "日"] for name in phrases.LANGUAGES}
    (folder / "common_words.json").write_text(json.dumps(words))
    return train_words.Source(folder, 3, held_out=False, lengths=lengths)


def test_full_batches_lose_no_caption(tmp_path: Path) -> None:
    source = source_in(tmp_path, train_words.GPU_LENGTHS)
    full = train_words.FullBatches(320)
    seen = 0
    for _ in range(5):
        part = source.part(100)
        seen += sum(len(columns[0]) for columns in part.values())
        for batch in full.add(part):
            assert batch.ids.shape[1] in train_words.GPU_LENGTHS
            assert len(batch.ids) == len(batch.classes) == 320 // batch.ids.shape[1]
            seen -= len(batch.ids)
    assert seen == sum(len(columns[0]) for some in full.waiting.values() for columns in some)


def test_wider_windows_read_as_before() -> None:
    torch.manual_seed(1)
    encoder = TextEncoder(50, 1, Sizes(hidden=24)).eval()
    wide = TextEncoder(50, 1, Sizes(hidden=40)).eval()
    wide.load_state_dict(widened(encoder.state_dict(), 40))
    ids = torch.randint(2, 50, (3, 9))
    assert torch.allclose(wide(ids), encoder(ids), atol=1e-5)


def test_padding_changes_no_loss(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    model = train_words.Model(source.plain.get_vocab_size(), source.end).eval()
    ids, *others = max(source.part(300).values(), key=lambda columns: len(columns[0]))
    first, second = (np.pad(others[at], ((0, 0), (0, 9))) for at in (1, 2))
    padded = np.pad(ids, ((0, 0), (0, 9)), constant_values=source.end), others[0], first, second, others[3]
    losses = [
        model.loss(train_words.Batch(*map(torch.from_numpy, columns)).wide())[0].item()
        for columns in ((ids, *others), padded)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_training_goes_on_from_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((WEIGHTS / "tokenizer.json").read_bytes())
    words = {name: ["table", "日"] for name in phrases.LANGUAGES}
    (tmp_path / "common_words.json").write_text(json.dumps(words))
    options = argparse.Namespace(folder=tmp_path, seed=1, fresh=False, rate=1e-3)
    source = train_words.Source(tmp_path, 3, held_out=False)
    model = train_words.Model(source.plain.get_vocab_size(), source.end)
    trainer = train_words.Trainer(options, model, 0, source)
    model.train()
    for batch in source.batches(64)[:4]:
        trainer.update(batch, 1.0, [])
    trainer.save()

    again = train_words.Model(source.plain.get_vocab_size(), source.end)
    train_words.load_model(options, again)
    assert all((a == b).all() for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert train_words.Trainer(options, again, 0, source).step == trainer.step == 4
    # Without the checkpoint, from the averaged weights, which are what ships.
    (tmp_path / "checkpoint.pt").unlink()
    other = train_words.Model(source.plain.get_vocab_size(), source.end)
    train_words.load_model(options, other)
    average = trainer.averages["encoder.tokens.weight"]
    assert (other.encoder.tokens.weight - average).abs().max() < 2e-3
    assert isinstance(other.encoder, TextEncoder) and isinstance(other.head, MotionHead)
    assert (tmp_path / "text_encoder.pt").stat().st_size < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("snow", "snow Schnee nieve neve neige снег 雪 下雪"),
        ("rain", "rain Regen lluvia chuva pluie дождь 雨 下雨"),
        ("fog", "fog Nebel niebla neblina brouillard туман 霧 雾"),
        ("waves", "waves Wellen olas ondas vagues волны 波 海浪"),
        ("lightning", "lightning Blitze relámpagos éclairs молния 稲妻 闪电"),
        ("clouds", "clouds Wolken nubes nuvens nuages облака 雲 云 白い雲"),
        ("waves", "sea Meer mar mer море 海 大海 ocean"),
        ("dusk", "sunset Sonnenuntergang atardecer закат 日没 日落"),
        ("flicker", "candle Kerze vela bougie свеча ろうそく 蜡烛"),
        ("zoom-in", "zoom"),
    ],
)
def test_one_word_is_enough(kind: str, words: str) -> None:
    reader = evaluate_words.Reader(Path(__file__).parent / "weights")
    for word in words.split():
        assert kind in reader.read([word])[0], word


@pytest.mark.parametrize(
    "text", ["눈이 내린다", "카메라 왼쪽으로", "หิมะตก", "تساقط الثلج", "שלג יורד", "बर्फ गिर रही है", "χιόνι"]
)
def test_words_in_a_script_of_no_language_are_none(text: str) -> None:
    reader = evaluate_words.Reader(Path(__file__).parent / "weights")
    assert reader.read([text, f"{text} zoom out"]) == [{}, {"zoom-out": "normal"}]

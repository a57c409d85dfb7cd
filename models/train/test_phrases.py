"""The captions that the words' networks learn from."""

import pytest

import japanese
import phrases
import words_tokenizer
from kinds import KINDS
from marks import unmarked
from word_language import Language


def test_a_caption_says_where_its_motions_are() -> None:
    for caption in phrases.Phrases(5).generate(3000):
        assert not any("\ue000" <= letter <= "\uf8ff" for letter in caption.text)
        assert "{" not in caption.text
        assert set(caption.labels) <= set(KINDS)
        for start, end, kinds in caption.spans:
            assert 0 <= start < end <= len(caption.text)
            assert set(kinds) <= set(caption.labels)


def test_a_seed_draws_the_same_captions_again() -> None:
    assert phrases.Phrases(1).generate(200) == phrases.Phrases(1).generate(200)
    assert phrases.Phrases(1).generate(200) != phrases.Phrases(2).generate(200)


def test_every_language_asks_for_every_kind_at_every_speed() -> None:
    seen: set[tuple[str, str, int]] = set()
    for caption in phrases.Phrases(3).generate(20_000):
        seen.update((caption.language, kind, speed) for kind, speed in caption.labels.items())
    for name in phrases.LANGUAGES:
        for kind in KINDS:
            speeds = {2} if kind == "static" else {1, 2, 3}
            assert {speed for speed in speeds if (name, kind, speed) in seen} == speeds, (name, kind)


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_an_adverb_is_set_off_by_blanks(name: str) -> None:
    language = Language(phrases.Random(1), name)
    blank = language.blank
    assert language.filled("ab{s}", "slowly") == f"ab{blank}slowly"
    assert language.filled("{s}ab", "slowly") == f"slowly{blank}ab"
    assert language.filled("ab{s}, cd", "slowly") == f"ab{blank}slowly, cd"
    assert language.filled("ab{s}") == "ab"


def test_the_text_is_folded() -> None:
    read = words_tokenizer.normalizer().normalize_str
    assert read("ÉLOIGNE ñandú Ёлка Й") == "eloigne nandu елка и"
    assert read("鏡頭緩慢推近") == "镜头缓慢推近"
    assert read("ＺＯＯＭ ズームが") == "zoom ズームが"


def test_a_noun_of_many_pictures_asks_for_its_motion_alone() -> None:
    captions = phrases.Phrases(3, names={"en": 1.0})
    made = [captions.noun_alone(captions.languages["en"]) for _ in range(200)]
    assert {kind for caption in made for kind in caption.labels} >= {"clouds", "waves", "dusk"}
    assert captions.alone["en"]["clouds"] == "clouds"
    nouns = captions.alone["en"]
    assert not any(
        caption.text.casefold() in nouns for caption in captions.generate(2000) if not caption.labels
    )


def test_what_the_camera_goes_to_has_no_speed_of_the_camera() -> None:
    captions = phrases.Phrases(4, names={"en": 1.0})
    for _ in range(200):
        _, labels = captions.towards(captions.languages["en"])
        camera, moving = labels
        assert camera in phrases.CAMERA and labels[moving] == phrases.NORMAL


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_what_alone_shall_move_is_asked_for_by_its_name(name: str) -> None:
    captions = phrases.Phrases(5, names={name: 1.0})
    still = 0
    for _ in range(100):
        text, labels = captions.only(captions.languages[name])
        _, spans = unmarked(text)
        assert {kind for *_, kinds in spans for kind in kinds} == set(labels) - {"static"}
        assert set(labels.values()) == {phrases.NORMAL}
        still += "static" in labels
    assert 20 < still < 60


def test_a_weather_that_a_camera_goes_through_keeps_its_own_speed() -> None:
    captions = phrases.Phrases(5, names={"de": 1.0})
    pairs = set()
    for _ in range(300):
        text, labels = captions.through(captions.languages["de"])
        (_, speed), (kind, level) = labels.items()
        heavy = "dichten" in text or "sturm" in text or "strömend" in text
        assert heavy == (level == phrases.FAST), text
        pairs.add((speed, kind))
    assert {(speed, "fog") for speed in (1, 2, 3)} <= pairs


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_what_stands_somewhere_in_the_picture_asks_for_nothing(name: str) -> None:
    captions = phrases.Phrases(5, names={name: 1.0})
    placed = [captions.placed(captions.languages[name]) for _ in range(50)]
    assert all(text and not set(text) & set("{}|") for text in placed)
    assert all(unmarked(text)[1] == [] for text in placed)


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_written_prompts_ask_for_kinds_that_there_are(name: str) -> None:
    prompts = phrases.written(name)
    asked = [labels for _, labels in prompts]
    assert all(text and set(labels) <= set(KINDS) for text, labels in prompts)
    assert {} in asked
    assert {speed for labels in asked for speed in labels.values()} == {1, 2, 3}


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_a_thing_that_is_not_wanted_is_not_asked_for(name: str) -> None:
    captions = phrases.Phrases(6, names={name: 1.0})
    language = captions.languages[name]
    for _ in range(200):
        text, labels = captions.manners.either(language)
        shown, spans = unmarked(text)
        assert {kind for _, _, kinds in spans for kind in kinds} == set(labels), shown
        assert "{" not in shown


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_an_amount_apart_from_its_thing_is_that_thing_s(name: str) -> None:
    captions = phrases.Phrases(6, names={name: 1.0})
    lists, seen = captions.manners.lists[name], set[int]()
    for _ in range(200):
        text, labels = captions.manners.apart(captions.languages[name])
        shown, spans = unmarked(text)
        (speed,) = labels.values()
        words = {1: lists["little"], 2: [""], 3: lists["much"]}[speed]
        assert any(word in shown for word in words), shown
        assert [kinds for _, _, kinds in spans] == [list(labels)]
        seen.add(speed)
    assert seen == {1, 2, 3}


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_two_motions_side_by_side_have_two_speeds(name: str) -> None:
    captions = phrases.Phrases(6, names={name: 1.0})
    for _ in range(200):
        text, labels = captions.manners.contrast(captions.languages[name])
        _, spans = unmarked(text)
        assert len(set(labels.values())) == 2
        assert sorted(kinds for *_, kinds in spans) == sorted([kind] for kind in labels)


@pytest.mark.parametrize("name", phrases.LANGUAGES)
def test_degrees_are_put_together_without_holes(name: str) -> None:
    degrees = phrases.Phrases(6, names={name: 1.0}).languages[name].vocabulary.degrees
    for speed in (phrases.SLOW, phrases.FAST):
        adverbs = {degrees.adverb(speed) for _ in range(1500)}
        assert len(adverbs) > 400
        amounts = {degrees.amount(speed) for _ in range(300)}
        assert all(amount.count("{") == amount.count("{n}") > 0 for amount in amounts)
        told = adverbs | {degrees.own(speed) for _ in range(300)} | {degrees.aside(speed) for _ in range(300)}
        assert not any("{" in text for text in told)


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("雪が降る", "雪が降って"),
        ("葉が落ちる", "葉が落ちて"),
        ("雲が流れていく", "雲が流れていって"),
        ("雨が降ってくる", "雨が降ってきて"),
        ("波がうねる", "波がうねって"),
        ("蛍が飛ぶ", "蛍が飛んで"),
        ("カメラがズームする", "カメラがズームして"),
        ("霧が出る", "霧が出て"),
    ],
)
def test_a_japanese_verb_has_another_form(verb: str, form: str) -> None:
    assert japanese.te_form(verb) == form

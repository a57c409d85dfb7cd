"""Other forms of Japanese verbs: `other_form(Draws, "雪が降る")` → 雪が降ってる, 雪が降ってほしい."""

import re

from draws import Draws

# What a dictionary form's last kana becomes.
ENDINGS = dict(
    pair.split(" ") for pair in "う って|つ って|く いて|ぐ いで|す して|ぬ んで|ぶ んで|む んで".split("|")
)
# Verbs whose "ru" falls away, although no kana stands before it.
ONE_STEP = "見出寝着煮得経"
# Verbs whose "ru" does not, although the kana before it says so.
TWO_STEPS = ("うねる", "くねる", "すべる", "はしる", "はいる", "しげる", "かげる", "まじる")
# Not the ends of verbs, though they look like them.
NOUNS = ("ほたる", "しずく", "みず", "つぶ", "まる", "よる", "はる", "ふる", "いす", "つる", "です", "ます")
VERB = re.compile(r"[をがにでへとはて々ァ-ヺー\u4e00-\u9fff][ぁ-ゖ\u4e00-\u9fff]*[うくぐすつぬぶむる]$")
# Behind the te-form: what it is like now, what somebody wants to see.
TAILS = (
    "る|る|いる|る感じ|るとこ|るところ|るの|るやつ|るみたいな|ます|います|た|いて|||ほしい|欲しい|ください|くれ|みて|"
    "るよう|る様子|んの|いるところ|る動画|るシーン|いるように|る風に|いく|くる|るように見せて"
).split("|")


def te_form(verb: str) -> str:
    """降る → 降って, 落ちる → 落ちて, する → して."""
    if verb.endswith("する"):
        return verb[:-2] + "して"
    if verb.endswith(("来る", "てくる", "でくる")):
        return verb[:-1].removesuffix("く") + ("て" if verb.endswith("来る") else "きて")
    if verb.endswith(("行く", "いく", "ゆく")):
        return verb[:-1] + "って"
    if not verb.endswith("る"):
        return verb[:-1] + ENDINGS[verb[-1]]
    if verb.endswith(TWO_STEPS):
        return verb[:-1] + "って"
    if len(verb) > 1 and (verb[-2] in "いきぎしじちにびみりえけげせぜてでねべめれ" or verb[-2] in ONE_STEP):
        return verb[:-1] + "て"
    return verb[:-1] + "って"


def other_form(draws: Draws, clause: str) -> str:
    """The clause with its last verb in another form; as it is where it ends with none."""
    if clause.endswith(NOUNS) or not VERB.search(clause):
        return clause
    te, tail = te_form(clause), draws.pick(TAILS)
    # "de" turns what follows: 飛んでる, 飛んだ.
    if tail == "た":
        return te[:-1] + ("だ" if te[-1] == "で" else "た")
    return te + tail

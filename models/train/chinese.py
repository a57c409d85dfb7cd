"""Chinese captions: clauses that name one motion, ways to combine them, and sentences around them."""

import lexicon
from draws import CAMERA_KINDS, FAST, MOVING_KINDS, NORMAL, SLOW, Distracting, Draws, Labels

# The common characters of GB 2312's first level, in its order.
HAN = "".join(
    bytes([high, low]).decode("gb2312", "ignore") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)
)
# Each entry is a simplified character and the traditional one.
TRADITIONAL = str.maketrans({pair[0]: pair[1] for pair in lexicon.read_list("zh/traditional")})

DISTRACTOR_FRAMES = ["{d}", "{d}，{d}", "{d}，{d}，{d}", "{d} {d}", "{d}、{d}", "{d}。"]
PAIRS = lexicon.read_list("zh/pairs")
STILL_CAMERA_FRAMES = lexicon.read_list("zh/still_camera_frames")
SHARED_SPEED_FRAMES = lexicon.read_list("zh/shared_speed_frames")


class Chinese(Draws):
    # One motion ---------------------------------------------------------------------------------------------

    def adverb(self, speed: int) -> str:
        if speed == SLOW:
            return self.pick(lexicon.ZH_SLOW)
        if speed == FAST:
            return self.pick(lexicon.ZH_FAST)
        return self.pick(lexicon.ZH_NEUTRAL) if self.chance(0.2) else ""

    def clause(self, kind: str, speed: int) -> str:
        """What asks for one motion at one speed."""
        adverb = self.adverb(speed)
        late = ""
        if speed != NORMAL and self.chance(0.16):
            adverb, late = "", self.pick(["，", "", ",", " "])
            late += self.pick(lexicon.ZH_SLOW_TAIL if speed == SLOW else lexicon.ZH_FAST_TAIL)
        if kind == "static":
            return self.pick(lexicon.ZH_STATIC)
        if kind == "waves":
            return self.water(adverb, late)
        if kind == "sway":
            return self.wind(speed, adverb, late)
        return self.camera(kind, adverb) + late

    def water(self, adverb: str, late: str) -> str:
        if self.chance(0.3):
            return adverb + self.pick(lexicon.ZH_WATER_NOUNS) + late
        start, thing = self.pick(["", "", "", "让", "使", "看到"]), self.pick(lexicon.ZH_WATER)
        return start + thing + adverb + self.pick(lexicon.ZH_WATER_VERBS) + late

    def wind(self, speed: int, adverb: str, late: str) -> str:
        if self.chance(0.25):
            return adverb + self.pick(lexicon.ZH_WIND_NOUNS) + late
        thing, verb = self.pick(lexicon.ZH_WIND_THINGS), self.pick(lexicon.ZH_SWAY_VERBS)
        if speed == SLOW and self.chance(0.2):
            return thing + self.pick(lexicon.ZH_WIND_SLOW) + verb
        if speed == FAST and self.chance(0.25):
            return thing + self.pick(lexicon.ZH_WIND_FAST) + verb
        prefix = self.pick(lexicon.ZH_WIND_PREFIX)
        middle = prefix + adverb if self.chance(0.7) else adverb + prefix
        return self.pick(["", "", "", "让", "使", "看到"]) + thing + middle + verb + late

    def camera(self, kind: str, adverb: str) -> str:
        verb = self.pick(lexicon.ZH_VERBS[kind])
        camera = self.pick(lexicon.ZH_CAMERA)
        x = self.rng.random()
        if x < 0.62:
            return camera + adverb + verb
        if x < 0.7:
            return adverb + verb + self.pick(["镜头", "画面", "一下", "一点", "效果", ""])
        if x < 0.78:
            return adverb + camera + verb
        if x < 0.9:
            subject = self.pick(lexicon.ZH_SUBJECTS)
            towards = self.pick(["对着", "向", "朝", "朝着", "往"])
            shown = self.pick(["，展示", "，露出", "到", "，扫过", "，看"])
            if kind == "zoom-in":
                return camera + towards + subject + adverb + verb
            if kind == "zoom-out":
                return camera + "从" + subject + adverb + verb
            return camera + adverb + verb + shown + subject
        start = self.pick(["让", "把", "将", "使", "请把", "请将"])
        return start + self.pick(["镜头", "画面", "相机", "图片", "照片", "视角"]) + adverb + verb

    # Several motions ----------------------------------------------------------------------------------------

    def combination(self, kinds: list[str]) -> tuple[str, Labels]:
        if self.chance(0.3):
            speed = self.speed()
            labels = {kind: NORMAL if kind == "static" else speed for kind in kinds}
            return self.shared_speed(kinds, speed), labels
        speeds = [self.speed_of(kind) for kind in kinds]
        labels = dict(zip(kinds, speeds, strict=True))
        if len(kinds) == 2 and self.chance(0.15):
            a, b = (self.clause(kind, speed) for kind, speed in labels.items())
            return self.pick(PAIRS).format(a=a, b=b), labels
        connector = self.pick(lexicon.ZH_CONNECT)
        if connector in ("并", "和", "且", "并且") and len({*speeds} - {NORMAL}) == 1 and NORMAL in speeds:
            # The one speed would be read as that of all.
            connector = "，同时"
        return connector.join(self.clause(kind, speed) for kind, speed in labels.items()), labels

    def shared_speed(self, kinds: list[str], speed: int) -> str:
        """Several motions with one speed, named once for all."""
        connector = self.pick(["并", "并且", "同时", "，同时", "，", "和", "，并", "且"])
        body = connector.join(self.clause(kind, NORMAL) for kind in kinds)
        if speed == NORMAL:
            return body
        if all(kind in CAMERA_KINDS for kind in kinds) and self.chance(0.6):
            connector = self.pick(["并", "并", "并且", "和", "且", "同时", "、"])
            body = connector.join(self.pick(lexicon.ZH_VERBS[kind]) for kind in kinds)
            return self.pick(lexicon.ZH_CAMERA) + self.speed_word(speed) + body
        tail = self.pick(lexicon.ZH_SLOW_TAIL if speed == SLOW else lexicon.ZH_FAST_TAIL)
        return self.pick(SHARED_SPEED_FRAMES).format(b=body, t=tail)

    def still_camera(self, local: str, speed: int) -> str:
        """The camera rests, waves or sway (`local`) do not."""
        still = self.pick(lexicon.ZH_STATIC_CAMERA)
        only = speed == NORMAL and self.chance(0.5)
        moves = self.pick(lexicon.ZH_ONLY_MOVES[local]) if only else self.clause(local, speed)
        return self.pick(STILL_CAMERA_FRAMES).format(a=still, b=moves)

    def negated(self) -> tuple[str, Labels]:
        """Do not zoom, just pan left: only what is not denied."""
        denied = self.pick(CAMERA_KINDS)
        phrase = self.pick(lexicon.ZH_NEGATED).replace("{v}", self.pick(lexicon.ZH_VERBS[denied]))
        if self.chance(0.25):
            return phrase, {"static": NORMAL}
        kind = self.pick([kind for kind in MOVING_KINDS if kind != denied])
        speed = self.speed()
        connector = self.pick(["，只要", "，只", "，", "，而是", "，改为", "，要"])
        return phrase + connector + self.clause(kind, speed), {kind: speed}

    # Around the motion --------------------------------------------------------------------------------------

    def speed_word(self, speed: int) -> str:
        """Slow or fast before a verb; NORMAL has no word."""
        return self.pick(lexicon.ZH_SLOW if speed == SLOW else lexicon.ZH_FAST)

    def with_speed(self, speed: int, text: str) -> str:
        return self.speed_word(speed) + text

    def sentence(self, motion: str, foreign: Distracting) -> str:
        """`motion`, which may be empty, among distractors; now and then they are of the foreign language."""
        if motion:
            frame = self.pick(lexicon.ZH_FRAMES if self.chance(0.7) else lexicon.ZH_MORE_FRAMES)
        else:
            frame = self.pick(DISTRACTOR_FRAMES)
        language: Distracting = foreign if self.chance(0.06) else self
        text = frame.replace("{c}", motion)
        while "{d}" in text:
            text = text.replace("{d}", language.distractor(), 1)
        if self.chance(0.15):
            text = text.translate(TRADITIONAL)
        if self.chance(0.08):
            text = text.replace("，", self.pick([" ", ",", ", ", "、", ""]))
        return text

    def distractor(self) -> str:
        """What people say about a picture, that asks for no motion."""
        x = self.rng.random()
        if x < 0.08:
            return self.pick(lexicon.ZH_DEPICTED).replace("{x}", self.pick(lexicon.ZH_DEPICTABLE))
        if x < 0.5:
            return self.pick(lexicon.ZH_DISTRACTORS)
        if x < 0.9:
            subject = self.pick(lexicon.ZH_SUBJECTS)
            if not self.chance(0.4):
                return subject
            place = self.pick(["在", "和", "与", "旁的", "里的", "上的", "前的", "下的"])
            return subject + place + self.pick(lexicon.ZH_SUBJECTS)
        return "".join(self.pick(HAN) for _ in range(self.rng.randint(1, 5)))

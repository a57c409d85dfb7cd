"""Trains the tokenizer for eight languages, a byte-level BPE; writes tokenizer.json and common_words.json.

The text is lower-cased and loses the accents of Latin and Cyrillic letters, full-width letters become plain,
traditional Chinese characters simplified ones (wordlists/folded.txt), so nothing of this needs to be learnt.
Every Han character is a token by itself; hiragana and katakana are words of their own. Letters of scripts
that none of the eight languages has are left out: words that nobody taught would be read as something.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import phrases
from chinese import HAN
from word_language import FOLDER
from words_nets import MAX_TOKENS

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 16384
HAN_RANGE = "㐀-䶿一-鿿"
HIRAGANA, KATAKANA = "ぁ-ゟ", "ァ-ヿ"
# Latin and Cyrillic, and what Han has beside the characters: the marks 々 and 〆, and rare ones.
LETTERS = "a-zß-\u02ffЀ-ԯ々〆\U00020000-\U000323af"
EMOJI = "[\ufe00-\ufe0f]"


def folded() -> dict[str, str]:
    """Traditional character → simplified one."""
    pairs = (FOLDER / "folded.txt").read_text(encoding="utf-8").split()
    return {pair[0]: pair[1] for pair in pairs}


def normalizer(fold: bool = True) -> normalizers.Normalizer:
    """`fold` off for texts whose characters are folded already: a step per character takes its time."""
    # Decomposed, so that accents are letters of their own. What is left of kana is put together again.
    steps = [
        normalizers.NFKD(),
        normalizers.Lowercase(),
        normalizers.Replace(Regex("[\u0300-\u036f]"), ""),
        normalizers.NFC(),
        normalizers.Replace(Regex(r"\s+"), " "),
    ]
    if fold:
        steps += [normalizers.Replace(a, b) for a, b in folded().items()]
    return normalizers.Sequence(steps)


def corpus(captions: phrases.Phrases, count: int) -> Iterator[str]:
    """`count` captions, then the words of all lists and the common ones of every language, some of them often
    enough to become tokens of their own."""
    fold = str.maketrans(folded())
    for caption in captions.generate(count):
        yield caption.text.translate(fold)
    for name, language in captions.languages.items():
        parts = language.vocabulary
        lists = [language.motions, language.speeds, parts.kinds, parts.words]
        words = re.findall(r"[^\W\d_]+", json.dumps(lists, ensure_ascii=False))
        for _ in range(20):
            yield from (word.translate(fold) for word in words)
        if language.blank:
            for _ in range(3):
                yield from captions.words[name][:2500]
    for _ in range(3):
        yield from HAN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--captions", type=int, default=150_000)
    options = parser.parse_args()
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizer(fold=False)
    letters = rf"(?=[{LETTERS}])\p{{L}}"
    # A mark belongs to a letter that is left out, but for what chooses how an emoji looks.
    other = rf"[^\s\p{{L}}\p{{N}}\p{{M}}]|{EMOJI}"
    pattern = rf"[{HAN_RANGE}]|[{HIRAGANA}]+|[{KATAKANA}]+|(?:{letters})+|\p{{N}}|{other}"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # Bytes come with and without the end of a word, so that no text is unknown.
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2 - 256,
        min_frequency=3,
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    captions = phrases.Phrases(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "common_words.json").write_text(json.dumps(captions.words, ensure_ascii=False) + "\n")
    tokenizer.train_from_iterator(corpus(captions, options.captions), trainer)
    tokenizer.normalizer = normalizer()
    definition = json.loads(tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    for byte in sorted(alphabet):
        vocabulary.setdefault(byte + "</w>", len(vocabulary))
    first = len(vocabulary)
    special = dict(single_word=False, lstrip=False, rstrip=False, normalized=True, special=True)
    definition["added_tokens"] = [
        {"id": first, "content": START, **special},
        {"id": first + 1, "content": END, **special},
    ]
    vocabulary[START], vocabulary[END] = first, first + 1
    definition["model"]["unk_token"] = END
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=(END, first + 1), cls=(START, first), trim_offsets=False, add_prefix_space=False
    )
    text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)
    (options.folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    config = {
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "model_max_length": MAX_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in definition["added_tokens"]
        },
    }
    (options.folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
    print(f"{len(vocabulary)} tokens", flush=True)


def load(path: Path) -> tuple[Tokenizer, int]:
    """Tokenizer that cuts to MAX_TOKENS, the end token always last, and the id of that one."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer, tokenizer.token_to_id(END)


if __name__ == "__main__":
    main()

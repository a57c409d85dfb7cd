"""Trains the tokenizer, a byte-level BPE like CLIP's, and writes tokenizer.json.

Text is lower-cased, and every Han character is a token by itself.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import captions
import chinese
import english
import lexicon
import nets

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 12288
HAN = "㐀-䶿一-鿿"


def corpus(count: int, seed: int) -> Iterator[str]:
    """`count` captions, then every word of the lists and every common Han character.

    The words and characters come often enough to become tokens of their own.
    """
    for text, _ in captions.Captions(seed).generate(count):
        yield text
    words = re.findall(r"[^\W\d_]+", json.dumps(lexicon.tokenizer_words(), ensure_ascii=False).lower())
    for _ in range(5):
        yield from words
        yield from english.WORDS
    for _ in range(3):
        yield from chinese.HAN
        yield from chinese.TRADITIONAL.values()


def main(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    pattern = rf"'s|'t|'re|'ve|'m|'ll|'d|[{HAN}]|(?:(?![{HAN}])\p{{L}})+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"
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
        min_frequency=2,
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(300_000, 1), trainer)
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    config = {
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "model_max_length": nets.MAX_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in definition["added_tokens"]
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(f"{len(vocabulary)} tokens", flush=True)


def load(path: Path | str) -> tuple[Tokenizer, int]:
    """Tokenizer that pads and cuts to MAX_TOKENS, the end token always last."""
    tokenizer = Tokenizer.from_file(str(path))
    end = tokenizer.token_to_id(END)
    tokenizer.enable_truncation(nets.MAX_TOKENS)
    tokenizer.enable_padding(pad_id=end, pad_token=END)
    return tokenizer, end

r"""How the vocabularies of byte-level BPE cut text into words before merging.

Every value that `tokenizer.ggml.pre` has in llama.cpp is a row of one table: the patterns that
cut the text, and the flags that the name implies. Several patterns work in sequence, each on
every fragment that the one before left; what lies between matches stays as a fragment of its own.

The words are exactly llama.cpp's, which is not always what the model's own tokenizer.json says.
The deviations that matter, all of them written into the patterns below:

- llama.cpp matches on a text where a character beyond ASCII is just "some letter", "some number",
  "some space": upper and lower case are told apart in ASCII only, and its `\p{Lu}` is `\p{L}`.
- A character that is white space never matches an explicit range.
- `\d` and the digits of contractions and of "three at a time" rules are those of ASCII.
- Its tables are Unicode 15.0: later characters belong to no class, see `_exact`.

Every pattern works in linear time on any text, whatever its runs of spaces or digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from zigllm_cli.errors import UnsupportedError


@dataclass(frozen=True)
class PreTokenizer:
    """The word split of one `tokenizer.ggml.pre` name, and what else llama.cpp ties to the name.

    Attributes:
        name: the name asked for.
        patterns: applied in sequence; the syntax is that of the `regex` module, version 1.
        ignore_merges: a word that is a token is taken whole, without merging.
        add_bos: a BOS token is added where the file is silent.
        add_sep: a SEP token is added where the file is silent.
        clean_spaces: spaces before punctuation go when a whole text is decoded.
        byte_encode: bytes are written as GPT-2's printable characters; otherwise words are raw
            UTF-8 and `<0xXX>` tokens stand for the bytes of what is unknown.
        escape_spaces: spaces become U+2581 before the split.
        has_bos: a BOS id is assumed where the file names none.
        force_bos: a BOS token is added even if the file says no.
        whole_newlines: a word of newlines only that is a token is taken whole.
        needs_merges: a file without merges is broken.
        mask_strips: the token `<mask>` swallows the spaces to its left.
    """

    name: str
    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    add_sep: bool = False
    clean_spaces: bool = True
    byte_encode: bool = True
    escape_spaces: bool = False
    has_bos: bool = True
    force_bos: bool = False
    whole_newlines: bool = False
    needs_merges: bool = True
    mask_strips: bool = False

    def split(self, text: str) -> list[str]:
        """The words of `text`, none of them empty: llama.cpp's `unicode_regex_split`.

        Together the words are the text again. It must not hold surrogates.
        """
        fragments = [text]
        for pattern in self.patterns:
            # Words repeat: remembering their cuts makes the second pattern and all later ones
            # 3 to 10 times faster on prose.
            pieces = cache(_splitter(pattern))
            fragments = [piece for fragment in fragments for piece in pieces(fragment)]
        return fragments


# ------------------------------------------------------------------ shared parts of patterns


def _chars(ranges: str) -> str:
    r"""The inside of a [character class]: "61-7A 5F" becomes "\U00000061-\U0000007A\U0000005F"."""
    return re.sub(r"[0-9A-F]+", lambda point: rf"\U{point[0]:0>8}", ranges).replace(" ", "")


def _any(*alternatives: str) -> str:
    """A pattern that tries `alternatives` from left to right."""
    return "|".join(alternatives)


_CONTRACTION = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SYMBOLS_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_BLANK_LINES = r"\s*[\r\n]+"
_BLANKS = r"\s+(?!\S)|\s+"  # of a run of spaces, the last one belongs to the word behind it
_BLANK = _any(_BLANK_LINES, _BLANKS)

_GPT2 = _any(
    r"'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", _BLANKS
)
_LLAMA3 = _any(_CONTRACTION, _WORD, r"\p{N}{1,3}", _SYMBOLS, _BLANK)
_QWEN2 = _any(_CONTRACTION, _WORD, r"\p{N}", _SYMBOLS, _BLANK)
_LINES = r"[^\n]+|\n+"
_THREE_DIGITS = r"[0-9][0-9][0-9]"
_KANA_AND_HAN = r"[\u4E00-\u9FA5\u3040-\u30FF]+"

_WORD_WITH_MARKS = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_SYMBOL_AND_WORD = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
_DEEPSEEK3 = _any(_SYMBOL_AND_WORD, _WORD_WITH_MARKS, r" ?[\p{P}\p{S}]+[\r\n]*", _BLANK)


def _camel_words(letters: str, contraction: str = "") -> str:
    """Words that end where lower case turns to upper case; outside ASCII a letter is both."""
    upper, lower = f"[{letters}--[a-z]]", f"[{letters}--[A-Z]]"
    start = r"[^\r\n\p{L}\p{N}]?"
    return _any(
        f"{start}{upper}*{lower}+{contraction}", f"{start}{upper}+{lower}*{contraction}"
    )


def _gpt4o(word: str, numbers: str) -> str:
    return _any(word, numbers, _SYMBOLS_AND_SLASHES, _BLANK)


# The word of tokenizer.json tells upper from lower case; in llama.cpp both are just letters.
_CASELESS_WORD = rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+(?:{_CONTRACTION})?"

_HAN = _chars("4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2EBEF F900-FAFF 2F800-2FA1F")
_KIMI_WORD = rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}--[{_HAN}]]+(?:{_CONTRACTION})?"

# 12345 becomes 12 and 345. Looking ahead to the end of the number from every group would take
# quadratic time; behind a digit it is known that a whole group follows. What stands before a
# number stays glued to its first group, a slip of llama.cpp's that the next pattern repairs
# except for its view of the blanks before the number.
_GROUPS_FROM_RIGHT = _any(
    r"(?<=\p{N})\p{N}{3}", r"\P{N}*+\p{N}{1,3}(?=(?:\p{N}{3})*+(?!\p{N}))", r"\P{N}++"
)

# The same for a pattern that only names the places between groups, `(?=(\d{3})+(?!\d))`: what
# follows the last group (numbers beyond ASCII and the start of the next number) is glued to it.
_SUPERBPE_GLUE = r"(?:[^0-9]++[0-9]{0,2}(?=(?:[0-9]{3})*+(?![0-9])))*+"
_SUPERBPE_GROUPS = _any(
    rf"(?<=[0-9])[0-9]{{3}}{_SUPERBPE_GLUE}",
    rf"[0-9]{{0,3}}(?=(?:[0-9]{{3}})*+(?![0-9])){_SUPERBPE_GLUE}",
)

# At most 512 spaces a word. Behind a space that ends no line, line ends were looked for already;
# looking again from every one of those words would take quadratic time.
_JAIS2_BLANKS = _any(
    rf"(?<![^\S\r\n]){_BLANK_LINES}",
    *(rf"\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4)),
    r"\s{1,2}(?!\S)",
    r"\s",
)

_DEEPSEEK_LETTERS = r"\s?[A-Za-z%s]+" % _chars(
    "B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C"
    " 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF"
    " 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B"
    " 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC"
    " 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134"
    " 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D"
    " A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A"
    " 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)
_DEEPSEEK_SYMBOLS = r"\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3001\u3002]+"
_DEEPSEEK_LAST_BLANKS = r"(?<!\s)\s++\Z"  # looked for at the start of a run: linear time
_DEEPSEEK_SCRIPTS = r"[[\u0800-\u9FA5\uAC00-\uD7FF]--\s]+"

_AFMOE_SCRIPTS = "[%s]+" % _chars(
    "3400-4DBF 4E00-9FFF 8C48-FAFF 3040-30FF FF65-FF9F 2F00-2FDF 0E40-0EFF 1780-17FF 1000-109F"
    " AA60-AA7F A9E0-A9FF 1100-11FF"
)
_YOUTU_SCRIPTS = _any(
    r"[\uAC00-\uD7A3\u3131-\u318E]+",
    r"[！…“”‘’—：；，、-\u303F\uFE30-\uFE4F]+",
    r"[\u3105-\u312F]+",
    _KANA_AND_HAN,
)
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
_EXAONE_MOE_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}\p{M}*+(?: ?\p{L}\p{M}*+)*+"  # "a bc d" is one word


# ------------------------------------------------------------------ the table of names


def _row(names: str, *patterns: str, **flags: bool) -> Iterator[tuple[str, PreTokenizer]]:
    """The names that share patterns, and the flags that are not the usual ones."""
    for name in names.split():
        yield name, PreTokenizer(name, patterns, **flags)


_TABLE: dict[str, PreTokenizer] = dict(
    chain(
        _row("default", r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", _THREE_DIGITS),
        # -- one pattern of words
        _row("gpt-2 phi-2 mpt olmo jais jina-es jina-de gigachat a.x-4.0 mellum modern-bert"
             " exaone4", _GPT2),
        _row("trillion granite-docling", _GPT2, clean_spaces=False),
        _row("jina-v2-es jina-v2-de", _GPT2, mask_strips=True),
        _row("jina-v1-en roberta-bpe", _GPT2, add_sep=True),
        _row("jina-v2-code", _GPT2, add_sep=True, mask_strips=True),
        _row("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
             _LLAMA3, ignore_merges=True, add_bos=True),
        _row("dbrx smaug-bpe", _LLAMA3),
        _row("chatglm-bpe", _LLAMA3, has_bos=False),
        _row("glm4 glm5", _LLAMA3, has_bos=False, ignore_merges=True),
        _row("stablelm2 megrez", _QWEN2),
        _row("qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2", _QWEN2,
             clean_spaces=False),
    )
)

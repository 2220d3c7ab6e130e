r"""How the vocabularies of byte-level BPE cut text into words before merging.

Every value that `tokenizer.ggml.pre` has in llama.cpp is in one table, `_TABLE`: the patterns
that cut the text, and the flags that the name implies. Several patterns work in sequence, each on
every fragment that the one before it left; what lies between two matches stays as a fragment.

The words are exactly llama.cpp's, which are not always those of the model's own tokenizer.json.
It matches on a text where a character beyond ASCII is only "some letter", "some number", "some
blank" and so on. Hence, in the patterns below, upper and lower case are told apart in ASCII only,
`[0-9]` is never more than ASCII, and an explicit range of characters never matches a blank.

Every pattern takes linear time on any text, also on a million spaces or digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.tokenizers.cutting import Cutter, ascii_cutter, chars, cutter

MANY = 1000
"""Fragments from which on remembering how each was cut pays: words repeat, and a later pattern
then costs a third."""


@dataclass(frozen=True)
class PreTokenizer:
    """The word split of one `tokenizer.ggml.pre`, and what else llama.cpp ties to the name.

    Attributes:
        name: the name asked for.
        patterns: applied in sequence; the syntax is that of the `regex` module, version 1.
        ignore_merges: a word that is a token is taken whole, without merging.
        add_bos: a BOS token is added where the file is silent.
        add_sep: a SEP token is added where the file is silent.
        byte_encode: bytes are written as GPT-2's printable characters; otherwise words are raw
            UTF-8, and tokens such as `<0x0A>` stand for the bytes of what is unknown.
        escape_spaces: spaces become U+2581 before the split.
        has_bos: a BOS id is assumed where the file names none.
        force_bos: a BOS token is added even if the file says no.
        whole_newlines: a word of newlines only that is a token is taken whole.
        needs_merges: a file without merges is broken.
    """

    name: str
    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    add_sep: bool = False
    byte_encode: bool = True
    escape_spaces: bool = False
    has_bos: bool = True
    force_bos: bool = False
    whole_newlines: bool = False
    needs_merges: bool = True

    @cached_property
    def cuts_before_spaces(self) -> bool:
        """Whether a word always begins at a space that follows something visible.

        Text cut there can be split piece by piece, which lets pieces that repeat be remembered.
        """
        parts = set(self.patterns)
        return bool(parts & _CUTTING) and parts <= _CUTTING | _WITHIN_WORDS

    @cached_property
    def cuts_before_letters(self) -> bool:
        """Whether a word always begins at a space before a letter."""
        return self.patterns == _DEEPSEEK_CODER

    @cached_property
    def _cutters(self) -> list[Cutter]:
        return [cutter(pattern, pattern in _COMPLETE) for pattern in self.patterns]

    @cached_property
    def _ascii_cutters(self) -> list[Cutter]:
        patterns = _ASCII_SHORTCUTS.get(self.patterns, self.patterns)
        return [
            ascii_cutter(pattern, pattern in _COMPLETE)
            for pattern in patterns
            if pattern not in _BEYOND_ASCII
        ]

    def split(self, text: str) -> list[str]:
        """The words of `text`, none of them empty: llama.cpp's `unicode_regex_split`.

        Joined, the words are the text again. It must not hold surrogates.
        """
        first, *others = self._ascii_cutters if text.isascii() else self._cutters
        fragments = first(text)
        for cut in others:
            if len(fragments) > MANY:
                cut = cache(cut)
            fragments = [piece for fragment in fragments for piece in cut(fragment)]
        return fragments


def pretokenizer(name: str | None) -> PreTokenizer:
    """The pre-tokenizer called `name`; llama.cpp's "default" where the file names none.

    Raises:
        UnsupportedError: llama.cpp knows no such name either.
    """
    try:
        return _TABLE[name or "default"]
    except KeyError:
        raise UnsupportedError(
            f"pre-tokenizer {name!r} (tokenizer.ggml.pre) is unknown; known are {', '.join(NAMES)}"
        ) from None


# ------------------------------------------------------------------ parts of patterns


def _any(*alternatives: str) -> str:
    """A pattern that tries `alternatives` from left to right."""
    return "|".join(alternatives)


_CONTRACTION = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_SIGN = r"[^\r\n\p{L}\p{N}]?"  # a word takes the space or the sign before it along
_WORD = _SIGN + r"\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LINE_ENDS = r"\s*[\r\n]"  # to the last line end of the run; `[\r\n]+` would match the same
_SPACES = r"\s+(?!\S)|\s+"  # before a word, all but the last: that one belongs to the word
_BLANKS = _any(_LINE_ENDS, _SPACES)
_THREE_DIGITS = r"[0-9][0-9][0-9]"
_HAN_AND_KANA = r"[\u4E00-\u9FA5\u3040-\u30FF]+"
_LINES = r"[^\n]+|\n+"

# A plain word comes first: most words are plain, and no other alternative begins like one.
# With a space and without it are two, which takes `re` 12 % less time than ` ?` for both.
_PLAIN = r" \p{L}+|\p{L}+"
_GPT2 = _any(_PLAIN, r"'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", _SPACES)
_LLAMA3 = _any(_PLAIN, _CONTRACTION, _WORD, r"\p{N}{1,3}", _SYMBOLS, _BLANKS)
_QWEN2 = _any(_PLAIN, _CONTRACTION, _WORD, r"\p{N}", _SYMBOLS, _BLANKS)
_QWEN35 = _any(
    _CONTRACTION,
    _SIGN + r"[\p{L}\p{M}]+",
    r"\p{N}",
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
    _BLANKS,
)
_UFAKZEKA = _any(_WORD, r"\p{N}", _SYMBOLS, _BLANKS)
_SEED_CODER = _any(_CONTRACTION, _WORD, r"\p{N}", r" ?[^\s\p{L}\p{N}\r\n]+", _BLANKS)
_EXAONE_MOE = _any(
    _CONTRACTION,
    _SIGN + r"\p{L}\p{M}*+(?: ?\p{L}\p{M}*+)*+",  # "some words in a row" are one
    r"\p{N}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]?",
    _BLANKS,
)

# At most 512 spaces make a word. Behind a space, the rest of the run was searched for a line end
# already; searching it again after every 512 would take quadratic time.
_JAIS2 = _any(
    _CONTRACTION,
    _WORD,
    r"\p{N}{1,3}",
    _SYMBOLS,
    rf"(?<![^\S\r\n]){_LINE_ENDS}",
    *(rf"\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4)),
    r"\s{1,2}(?!\S)|\s",
)


def _camel_case(letters: str, contraction: str = "") -> str:
    """A word ends where upper case follows lower case; beyond ASCII a letter is both."""
    upper, lower = f"[{letters}--[a-z]]", f"[{letters}--[A-Z]]"
    return _any(f"{_SIGN}{upper}*{lower}+{contraction}", f"{_SIGN}{upper}+{lower}*{contraction}")


def _gpt4o(word: str, numbers: str = r"\p{N}{1,3}") -> str:
    return _any(word, numbers, r" ?[^\s\p{L}\p{N}]+[\r\n/]*", _BLANKS)


_SUFFIX = f"(?:{_CONTRACTION})?"
_TEKKEN = _gpt4o(_camel_case(r"\p{L}"), r"\p{N}")
_GPT4O = _gpt4o(_camel_case(r"\p{L}", _SUFFIX))
_GRANITE = _gpt4o(_camel_case(r"[\p{L}\p{M}]", _SUFFIX))
# Where the model's pattern asks for the case by \p{Lu} and \p{Ll}, llama.cpp sees letters only.
_CASELESS = _SIGN + r"[\p{L}\p{M}]+" + _SUFFIX
_TINY_AYA = _gpt4o(_CASELESS)
_YOUTU = _gpt4o(_CASELESS, r"\p{N}")
_YOUTU_SCRIPTS = _any(
    r"[\uAC00-\uD7A3\u3131-\u318E]+",
    r"[！…“”‘’—：；，\u3001-\u303F\uFE30-\uFE4F]+",
    r"[\u3105-\u312F]+",
    _HAN_AND_KANA,
)
_HAN = f"[{chars('4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2EBEF F900-FAFF 2F800-2FA1F')}]"
_KIMI_K2 = _any(
    f"{_HAN}+",
    rf"{_SIGN}[\p{{L}}--{_HAN}]+{_SUFFIX}",
    r"\p{N}{1,3}",
    _SYMBOLS,
    _BLANKS,
)

_ASCII_SYMBOL_WORD = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
_MARKED_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_DEEPSEEK3 = _any(_ASCII_SYMBOL_WORD, _MARKED_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", _BLANKS)
_SPARK2_5 = _any(_ASCII_SYMBOL_WORD, _MARKED_WORD, r" ?[\p{P}\p{S}]+", r"[\r\n]", _SPACES)

_DEEPSEEK_LETTERS = chars(
    "B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C"
    " 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF"
    " 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B"
    " 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC"
    " 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134"
    " 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D"
    " A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A"
    " 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)
_DEEPSEEK_SCRIPTS = r"[[\u0800-\u9FA5\uAC00-\uD7FF]--\s]+"
_DEEPSEEK_LLM = (
    r"[\r\n]",
    rf"\s?[A-Za-z{_DEEPSEEK_LETTERS}]+",
    r"\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3001\u3002]+",
    r"(?<!\s)\s++\Z",  # trying only where a run of spaces starts makes it linear
    _DEEPSEEK_SCRIPTS,
    r"\p{N}+",
)
_DEEPSEEK_CODER = (
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    _DEEPSEEK_SCRIPTS,
    r"\p{N}",
)


def _leftover(digit: str) -> str:
    """The digits of a number before its groups of three, if there are any: 12 of 12345.

    One lookahead for each count: the shorter `{1,2}(?=...)` takes quadratic time in `regex`.
    """
    groups = f"(?:{digit}{{3}})*+(?!{digit})"
    return f"(?:(?={digit}{groups}){digit}|(?={digit}{digit}{groups}){digit}{digit})"


# Behind a digit, a whole group of three follows: the end of the number need not be looked for
# again. What stands before a number is glued to its first group, a slip of llama.cpp's: the next
# pattern cuts it off again, but sees the number while it splits the spaces.
_GROUPS_OF_3 = _any(
    r"(?<=\p{N})\p{N}{3}",
    r"[^\p{N}]*+(?:" + _leftover(r"\p{N}") + r"|\p{N}{3})",
    r"[^\p{N}]++",
)
_AFMOE_SCRIPTS = chars(
    "3400-4DBF 4E00-9FFF 8C48-FAFF 3040-30FF FF65-FF9F 2F00-2FDF 0E40-0EFF 1780-17FF 1000-109F"
    " AA60-AA7F A9E0-A9FF 1100-11FF"
)

# Here llama.cpp looks for the places `(?=(\d{3})+(?!\d))` and cuts there. Between two of them may
# stand, glued to the first, numbers beyond ASCII and the leftover digits of the second.
_ASCII_LEFTOVER = _leftover("[0-9]")
_GLUED = f"(?:[^0-9]++{_ASCII_LEFTOVER}?)*+"
_SUPERBPE = _any(f"(?<=[0-9])[0-9]{{3}}{_GLUED}", f"(?:{_ASCII_LEFTOVER}|[0-9]{{3}})?{_GLUED}")

_CUTTING = {
    *(_GPT2, _LLAMA3, _QWEN2, _QWEN35, _UFAKZEKA, _SEED_CODER),
    *(_TEKKEN, _GPT4O, _GRANITE, _YOUTU, _KIMI_K2, _DEEPSEEK3, _SPARK2_5),
}
"""Patterns that match at every space, and never from something visible on into a space."""

_COMPLETE = _CUTTING - {_DEEPSEEK3, _SPARK2_5}
"""Patterns whose matches leave nothing out: not having to look takes 3 ms per MB."""

_WITHIN_WORDS = {
    *(r"\p{N}", r"\p{N}{1,3}", r"\p{N}+", _THREE_DIGITS, _HAN_AND_KANA, _YOUTU_SCRIPTS),
    *(r"[\p{P}$+<=>^~|]+", r"[\p{P}$+<=>^~|`]+"),
}
"""Patterns that match no space at all."""

_BEYOND_ASCII = {_HAN_AND_KANA, _YOUTU_SCRIPTS, _DEEPSEEK_SCRIPTS}
"""Patterns that match nothing in a text of ASCII characters."""

_ASCII_SHORTCUTS: dict[tuple[str, ...], tuple[str, ...]] = {
    _DEEPSEEK_CODER: (r"[\r\n]|[^\S\r\n]?\p{L}+|[^\S\r\n]?\p{P}+|\p{N}",),
}
"""Sequences that one pattern can stand for while the text is ASCII: no match of one lies inside
a match of another, and none but the first takes a line end (a third of the time)."""

_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


# ------------------------------------------------------------------ the table of names


def _row(names: str, *patterns: str, **flags: bool) -> Iterator[tuple[str, PreTokenizer]]:
    """Names that share their patterns and their flags; the usual flags are left out."""
    for name in names.split():
        yield name, PreTokenizer(name, patterns, **flags)


_TABLE: dict[str, PreTokenizer] = dict(
    chain(
        _row("default", r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", _THREE_DIGITS),
        _row("falcon", r"[\p{P}$+<=>^~|`]+", _GPT2, _THREE_DIGITS),
        _row(
            "gpt-2 phi-2 mpt olmo jais mellum gigachat exaone4 a.x-4.0 modern-bert"
            " jina-es jina-de jina-v2-es jina-v2-de trillion granite-docling",
            _GPT2,
        ),
        _row("jina-v1-en jina-v2-code roberta-bpe", _GPT2, add_sep=True),
        _row(
            "starcoder refact codeshell exaone minerva-7b mellum2 command-r smollm",
            r"\p{N}",
            _GPT2,
        ),
        _row(
            "chameleon",
            r"<sentinel:[0-9]+>",
            r"IMGIMG[A-I]{1,4}Z",
            r"[\t\n]|    |  ",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2,
            add_bos=True,
        ),
        _row(
            "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
            _LLAMA3,
            ignore_merges=True,
            add_bos=True,
        ),
        _row("dbrx smaug-bpe", _LLAMA3),
        _row("chatglm-bpe", _LLAMA3, has_bos=False),
        _row("glm4 glm5", _LLAMA3, has_bos=False, ignore_merges=True),
        _row("jais-2", _JAIS2),
        _row("minicpm5", r"\p{N}{1,3}", _LLAMA3, ignore_merges=True),
        _row(
            "qwen2 stablelm2 megrez deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2"
            " bailingmoe bailingmoe2 llada-moe",
            _QWEN2,
        ),
        _row("qwen35", _QWEN35),
        _row("laguna", _LINES, _QWEN2),
        _row("seed-coder", _SEED_CODER),
        _row("ufakzeka", _UFAKZEKA),
        _row("exaone-moe", _EXAONE_MOE),
        _row("gpt-4o llama4 kanana2 talkie minimax-m2", _GPT4O),
        _row("tekken", _TEKKEN, ignore_merges=True, add_bos=True),
        _row("granite-embed-multi-97m", _GRANITE, ignore_merges=True),
        _row("youtu", _YOUTU_SCRIPTS, _YOUTU, ignore_merges=True),
        _row("tiny_aya cohere2moe", _GROUPS_OF_3, _TINY_AYA),
        _row("kimi-k2", _KIMI_K2, needs_merges=False),
        _row("deepseek-llm", *_DEEPSEEK_LLM),
        _row("deepseek-coder", *_DEEPSEEK_CODER),
        _row(
            "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
            r"\p{N}{1,3}",
            _HAN_AND_KANA,
            _DEEPSEEK3,
        ),
        _row("spark2_5", r"\p{N}{1,3}", _HAN_AND_KANA, _SPARK2_5, r"\p{N}"),
        _row("afmoe", _GROUPS_OF_3, f"[{_AFMOE_SCRIPTS}]+", _DEEPSEEK3),
        _row("bloom gpt3-finnish poro-chat", _BLOOM),
        _row("viking", _BLOOM, r"\p{N}"),
        _row("superbpe", r"\p{N}+", _SUPERBPE),
        _row(
            "gemma4 granite-embed-multi-311m",
            _LINES,
            byte_encode=False,
            escape_spaces=True,
            force_bos=True,
            add_bos=True,
            whole_newlines=True,
        ),
        _row("sarvam-moe", _LINES, byte_encode=False, escape_spaces=True),
        _row("whitespace", r"\S+", byte_encode=False),
    )
)

NAMES: tuple[str, ...] = tuple(_TABLE)
"""Every name that llama.cpp knows."""

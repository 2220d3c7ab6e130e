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

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

from zigllm_cli.errors import UnsupportedError


@dataclass(frozen=True)
class PreTokenizer:
    """The word split of one `tokenizer.ggml.pre`, and what else llama.cpp ties to the name.

    Attributes:
        name: the name asked for.
        patterns: applied in sequence; the syntax is that of the `regex` module, version 1.
        ignore_merges: a word that is a token is taken whole, without merging.
        add_bos: a BOS token is added where the file is silent.
        add_sep: a SEP token is added where the file is silent.
        clean_spaces: spaces before punctuation go when a whole text is decoded.
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
    clean_spaces: bool = True
    byte_encode: bool = True
    escape_spaces: bool = False
    has_bos: bool = True
    force_bos: bool = False
    whole_newlines: bool = False
    needs_merges: bool = True

    def split(self, text: str) -> list[str]:
        """The words of `text`, none of them empty: llama.cpp's `unicode_regex_split`.

        Joined, the words are the text again. It must not hold surrogates.
        """
        fragments = [text]
        for pattern in self.patterns:
            # Words repeat, so remember how each was cut: a later pattern costs a third.
            pieces = cache(_splitter(pattern))
            fragments = [piece for fragment in fragments for piece in pieces(fragment)]
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


# ------------------------------------------------------------------ from pattern to function

# Where Unicode has characters since 15.0, the version of llama.cpp's tables. For llama.cpp they
# belong to no class: neither letters nor marks, numbers, punctuation or symbols.
_NEWER = (
    "557-558 58B-58C 5C8-5CF 88F 892-897 B4E-B54 C5B-C5C CD7-CDC 1ACF-1AFF 1B4D-1B4F 1B7F"
    " 1C89-1C8F 208F 209D-209F 20C1-20CF 2427-243F 2B96 2E5E-2E7F 31E4-31EE A7CB-A7CF A7D2 A7D4"
    " A7DA-A7F1 AB6C-AB6F FBC3-FBD2 FD90-FD91 FDC8-FDCE 105BD-105FF 107BB-107FF 10940-1097F"
    " 10D3A-10E5F 10EB2-10EFC 11375-113FF 116CA-116FF 11B0A-11BFF 11DAA-11EDF 11F5A-11FAF 1246F"
    " 12475-1247F 12544-12F8F 13456-143FF 14647-167FF 16B90-16E3F 16E9B-16EFF 16FF2-16FFF"
    " 187F8-187FF 18CD6-18CFF 18D09-1AFEF 1B123-1B131 1B168-1B16F 1BCA4-1CEFF 1D127-1D128"
    " 1D1EB-1D1FF 1D246-1D2BF 1D6A6-1D6A7 1DAB0-1DEFF 1DF1F-1DF24 1DF2B-1DFFF 1E4FA-1E7DF"
    " 1F1AE-1F1E5 1F6D8-1F6DB 1F777-1F77A 1F7DA-1F7DF 1F7F1-1F7FF 1F8B2-1F8FF 1FA54-1FA5F"
    " 1FA89-1FA8F 1FABE 1FAC6-1FACD 1FADC-1FADF 1FAE9-1FAEF 1FAF9-1FAFF 1FBCB-1FBEF 1FBFA-1FFFF"
    " 2B73A-2B73F 2B81E-2B81F 2CEA2-2CEAF 323B0-E0000"
)


def _chars(ranges: str) -> str:
    r"""The inside of a [character class]: "61-7A 5F" becomes "\U00000061-\U0000007A\U0000005F"."""
    return re.sub(r"[0-9A-F]+", lambda point: rf"\U{point[0]:0>8}", ranges).replace(" ", "")


@cache
def _newer_class() -> str:
    """A character class of `_NEWER`.

    Groups of ranges stand behind a test for the range that they span: a common letter is done
    after one or two comparisons, and English text takes 0.1 s per MB instead of 0.3.
    """
    ranges = _NEWER.split()
    groups = [ranges[start : start + 9] for start in range(0, len(ranges), 9)]
    members = "".join(_behind_span(group, _chars(" ".join(group))) for group in groups)
    return _behind_span(ranges, members)


def _behind_span(ranges: list[str], members: str) -> str:
    first, last = ranges[0].partition("-")[0], ranges[-1].rpartition("-")[2]
    return f"[[{_chars(f'{first}-{last}')}]&&[{members}]]"


@cache
def _splitter(pattern: str) -> Callable[[str], list[str]]:
    r"""A function that cuts a text into the matches of `pattern` and what lies between them."""
    import regex  # takes 0.03 s, and only byte-level BPE needs it

    exact = re.sub(r"\\p\{\w\}", lambda found: f"[{found[0]}--{_newer_class()}]", pattern)
    cut = regex.compile(f"({exact})", regex.VERSION1).split
    return lambda text: [piece for piece in cut(text) if piece]


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

_GPT2 = _any(
    r"'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", _SPACES
)
_LLAMA3 = _any(_CONTRACTION, _WORD, r"\p{N}{1,3}", _SYMBOLS, _BLANKS)
_QWEN2 = _any(_CONTRACTION, _WORD, r"\p{N}", _SYMBOLS, _BLANKS)
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
    return _any(
        f"{_SIGN}{upper}*{lower}+{contraction}", f"{_SIGN}{upper}+{lower}*{contraction}"
    )


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
_HAN = f"[{_chars('4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2EBEF F900-FAFF 2F800-2FA1F')}]"
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

_DEEPSEEK_LETTERS = _chars(
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
_AFMOE_SCRIPTS = _chars(
    "3400-4DBF 4E00-9FFF 8C48-FAFF 3040-30FF FF65-FF9F 2F00-2FDF 0E40-0EFF 1780-17FF 1000-109F"
    " AA60-AA7F A9E0-A9FF 1100-11FF"
)

# Here llama.cpp looks for the places `(?=(\d{3})+(?!\d))` and cuts there. Between two of them may
# stand, glued to the first, numbers beyond ASCII and the leftover digits of the second.
_ASCII_LEFTOVER = _leftover("[0-9]")
_GLUED = f"(?:[^0-9]++{_ASCII_LEFTOVER}?)*+"
_SUPERBPE = _any(
    f"(?<=[0-9])[0-9]{{3}}{_GLUED}", f"(?:{_ASCII_LEFTOVER}|[0-9]{{3}})?{_GLUED}"
)

_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


# ------------------------------------------------------------------ the table of names


def _row(names: str, *patterns: str, **flags: bool) -> Iterator[tuple[str, PreTokenizer]]:
    """Names that share their patterns and their flags; the usual flags are left out."""
    for name in names.split():
        yield name, PreTokenizer(name, patterns, **flags)


_TABLE: dict[str, PreTokenizer] = dict(chain(
    _row("default", r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", _THREE_DIGITS),
    _row("falcon", r"[\p{P}$+<=>^~|`]+", _GPT2, _THREE_DIGITS),

    _row("gpt-2 phi-2 mpt olmo jais mellum gigachat exaone4 a.x-4.0 modern-bert"
         " jina-es jina-de jina-v2-es jina-v2-de", _GPT2),
    _row("trillion granite-docling", _GPT2, clean_spaces=False),
    _row("jina-v1-en jina-v2-code roberta-bpe", _GPT2, add_sep=True),
    _row("starcoder refact codeshell exaone minerva-7b mellum2", r"\p{N}", _GPT2),
    _row("command-r smollm", r"\p{N}", _GPT2, clean_spaces=False),
    _row("chameleon",
         r"<sentinel:[0-9]+>", r"IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}",
         r"[\p{P}!-/:-@\[-`{-~]", _GPT2, add_bos=True, clean_spaces=False),

    _row("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
         _LLAMA3, ignore_merges=True, add_bos=True),
    _row("dbrx smaug-bpe", _LLAMA3),
    _row("chatglm-bpe", _LLAMA3, has_bos=False),
    _row("glm4 glm5", _LLAMA3, has_bos=False, ignore_merges=True),
    _row("jais-2", _JAIS2),
    _row("minicpm5", r"\p{N}{1,3}", _LLAMA3, ignore_merges=True),

    _row("stablelm2 megrez", _QWEN2),
    _row("qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2 bailingmoe bailingmoe2"
         " llada-moe", _QWEN2, clean_spaces=False),
    _row("qwen35", _QWEN35, clean_spaces=False),
    _row("laguna", _LINES, _QWEN2, clean_spaces=False),
    _row("seed-coder", _SEED_CODER, clean_spaces=False),
    _row("ufakzeka", _UFAKZEKA, clean_spaces=False),
    _row("exaone-moe", _EXAONE_MOE),

    _row("gpt-4o llama4 kanana2 talkie minimax-m2", _GPT4O, clean_spaces=False),
    _row("tekken", _TEKKEN, clean_spaces=False, ignore_merges=True, add_bos=True),
    _row("granite-embed-multi-97m", _GRANITE, clean_spaces=False, ignore_merges=True),
    _row("youtu", _YOUTU_SCRIPTS, _YOUTU, clean_spaces=False, ignore_merges=True),
    _row("tiny_aya cohere2moe", _GROUPS_OF_3, _TINY_AYA, clean_spaces=False),
    _row("kimi-k2", _KIMI_K2, clean_spaces=False, needs_merges=False),

    _row("deepseek-llm", *_DEEPSEEK_LLM, clean_spaces=False),
    _row("deepseek-coder",
         r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_SCRIPTS, r"\p{N}", clean_spaces=False),
    _row("deepseek-v3 hunyuan-dense joyai-llm hy_v4",
         r"\p{N}{1,3}", _HAN_AND_KANA, _DEEPSEEK3, clean_spaces=False),
    _row("spark2_5", r"\p{N}{1,3}", _HAN_AND_KANA, _SPARK2_5, r"\p{N}", clean_spaces=False),
    _row("afmoe", _GROUPS_OF_3, f"[{_AFMOE_SCRIPTS}]+", _DEEPSEEK3, clean_spaces=False),

    _row("bloom gpt3-finnish", _BLOOM),
    _row("poro-chat", _BLOOM, clean_spaces=False),
    _row("viking", _BLOOM, r"\p{N}", clean_spaces=False),
    _row("superbpe", r"\p{N}+", _SUPERBPE, clean_spaces=False),

    _row("gemma4 granite-embed-multi-311m", _LINES, byte_encode=False, escape_spaces=True,
         force_bos=True, add_bos=True, whole_newlines=True),
    _row("sarvam-moe", _LINES, byte_encode=False, escape_spaces=True, clean_spaces=False),
    _row("whitespace", r"\S+", byte_encode=False),
))

NAMES: tuple[str, ...] = tuple(_TABLE)
"""Every name that llama.cpp knows."""

r"""The LaTeX of an answer in one spelling, so that what means the same is, mostly, the same text.

    clean(r"$x \in \left[-2, \dfrac12\right].$")  -> r"x \in [-2, \frac{1}{2}]"
    clean("3 1/2"), clean("6.02e23")             -> r"(3+\frac{1}{2})", r"6.02\cdot 10^{23}"
    clean("12 km/h")                             -> r"12 \text{km/h}"

Nothing that changes a value is dropped. Words end up in \text{...}, whatever font they came in, so that
what is outside is mathematics.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from helpers.answers.units import UNITS

LONGEST = 2000  # characters of an answer; the longest reference answer of the four benchmarks has 250
DEEPEST = 50  # nested brackets; a recursive parser needs a limit
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
OPEN, CLOSE = ("(", "[", "{", "\\{", "\\begin"), (")", "]", "}", "\\}", "\\end")
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi "
    "chi psi omega"
)
FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp sqrt"
CHARACTERS = {
    **dict.fromkeys("−–‐‑", "-"), **dict.fromkeys("×·⋅∙•", "\\cdot "), **dict.fromkeys("“”", ""),
    **dict.fromkeys("’′", "'"), **dict.fromkeys("°º", "^{\\circ}"), **dict.fromkeys("⟨〈", "("),
    **dict.fromkeys("⟩〉", ")"), "÷": "/", "√": "\\sqrt ", "∛": "\\sqrt[3]", "∞": "\\infty ", "≤": "\\le ",
    "≥": "\\ge ", "≠": "\\ne ", "±": "\\pm ", "∓": "\\mp ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
    "≡": "\\equiv ", "≈": "\\approx ", "∅": "\\emptyset ", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}",
    "⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ", "…": "\\ldots ",
    "ϕ": "\\phi ", "λ": "\\lambda ",
    **{unicodedata.lookup(f"GREEK SMALL LETTER {g}"): f"\\{g} " for g in GREEK.split() if g != "lambda"},
}  # fmt: skip
COMMANDS = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "\\frac"), **dict.fromkeys(("dbinom", "tbinom"), "\\binom"),
    **dict.fromkeys(("times", "ast"), "\\cdot"), **dict.fromkeys(("quad", "qquad", "newline"), " "),
    **dict.fromkeys(("leqslant", "leq"), "\\le"), **dict.fromkeys(("geqslant", "geq"), "\\ge"),
    **dict.fromkeys(("lvert", "rvert", "vert"), "|"), **dict.fromkeys(("dots", "cdots"), "\\ldots"),
    **dict.fromkeys(("bmod", "mod"), "\\pmod"), "div": "/", "gt": ">", "lt": "<", "neq": "\\ne",
    "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]", "langle": "(", "rangle": ")",
    "varnothing": "\\emptyset", "imath": "i", "degree": "^{\\circ}", "varphi": "\\phi",
    "varepsilon": "\\epsilon", "lg": "\\log_{10}",
}  # fmt: skip
DROPPED = (
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle "
    "limits rm bf it boxed fbox Large large small"
)
FONT = (
    r"\\(?:text|textbf|textit|textrm|textsf|textnormal|mbox|hbox|mathrm|mathsf|mathit|mathbf|boldsymbol|bm"
    r"|operatorname|emph|underline)\*?\s*\{([^{}]*)\}"
)
NAMED = {name: f"\\{name} " for name in f"{FUNCTIONS} {GREEK}".split()} | {
    **dict.fromkeys(("inf", "infty", "infinity", "oo"), "\\infty "), **dict.fromkeys(("and", "or"), ","),
    **dict.fromkeys(("percent", "percents"), "%"), "mod": "\\pmod ",
}  # fmt: skip
SHORT_WORDS = (
    "is an the for all if no yes odd one two six ten not any to of in by at on we it are has per than day "
    "min sec hr hrs km cm mm dm kg mg ml ft lb lbs oz mph kmh rpm ms mi yd yr yrs pm am usd men sq old"
)  # and any run of four letters or more; shorter ones are products of variables
SLASHED = r"[a-zA-Z]{1,10}\s*/\s*(?:hours?|hr|h|seconds?|sec|s|minutes?|min|cm|ml|m|kg|L|day)\b(?!\()"
WORD = re.compile(
    r"\\(?:begin|end)\s*\{[^{}]*\}(?:\s*\{[lcr|]+\})?|\\[a-zA-Z]+|_\s*\{[^{}]*\}|\ue000[^\ue001]*\ue001"
    rf"|(?<=[\d}})])\s*{SLASHED}|[^\W\d_]{{2,}}"
)
SEPARATOR = r"(?:,?\\!\s*|\\[,;:> ]\s*|\{,\}|[~ ])"
THOUSANDS = re.compile(rf"(?<![\d.])\d{{1,3}}(?:{SEPARATOR}\d{{3}}){{1,30}}(?!\d)")
REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{(\d+)\}|(\d))")
SCIENTIFIC = re.compile(r"(?<![\w.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d{1,4})(?![\w.])")
MIXED = re.compile(r"(?<![\w.}^])(\d+)(?:\s*\\frac\{(\d+)\}\{(\d+)\}|\s+(\d+)/(\d+)(?![\d/]))")
ORDINAL = re.compile(r"(?<=\d)\s*\^?\{?\s*\ue000?\s*(?:st|nd|rd|th)\b\s*(\ue001)?\s*\}?")


def deep(text: str) -> bool:
    """Whether brackets of one kind are nested more than DEEPEST levels deep."""
    text = text.replace("\\{", "").replace("\\}", "")
    for opening, closing in ("()", "[]", "{}"):
        level = 0
        for character in text:
            level += (character == opening) - (character == closing)
            if level > DEEPEST:
                return True
    return False


def split(text: str, *at: str, keep: bool = False) -> list[str]:
    r"""The parts of a text between tokens (a comma, `\cup`) that are inside no bracket or environment.

    With `keep` the tokens stand between the parts.
    """
    parts, level = [""], 0
    for token in TOKEN.findall(text):
        level += (token in OPEN) - (token in CLOSE)
        if token in at and level == 0:
            parts += [token, ""] if keep else [""]
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """An answer in one spelling; what is not understood, or longer than LONGEST, is returned unchanged."""
    if len(text) > LONGEST:
        return text
    text = re.sub(r"[\ue000\ue001]", "", text if text.isascii() else "".join(map(as_tex, text)))
    text = re.sub(r"\\\$|\$|(?<!\\)\\[()\[\]]|[€£¥\"`]", "", text)
    text = re.sub(r"^\s*\*\*(.*)\*\*\s*$", r"\1", text)  # bold in Markdown
    text = re.sub(r"\\(?:text)?color\s*\{\w*\}|\\(?:left|right)\s*\.", "", text)
    text = THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    text = re.sub(r"\\!\s*", "", text)
    text = re.sub(r"(?<!\\)\\[,:;> ]|[~\s]+", " ", text).replace("\\%", "%")
    for _ in range(3):  # a font inside a font
        text = re.sub(FONT, font, text)
    text = re.sub(r"\\([a-zA-Z]+)", command, text)
    text = re.sub(r"(?<![a-zA-Z])([ap])\.\s?m\b\.?", r"\1m", text).replace("**", "^").replace("*", "\\cdot ")
    text = ORDINAL.sub("", text)
    text = WORD.sub(word, text)
    text = SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text)
    text = REPEATING.sub(repeating, text)
    text = braced(text)
    text = MIXED.sub(mixed, text)
    text = re.sub(r"\\log\s*_\{e\}", r"\\ln ", text)
    text = re.sub(r"\^\{\\circ\s*\}\s*[CF]?", "\ue000degrees\ue001", text)
    text = re.sub(r"\(?\s*\\pmod\s*\{?\s*(\w+)\s*\}?\s*\)?", r" \\pmod{\1}", text)
    text = re.sub(r"\ue001\s*/\s*\ue000", "/", text)
    text = re.sub(r"\ue001[\s,]*\ue000", " ", text)
    text = text.replace("\ue000", "\\text{").replace("\ue001", "}")
    text = re.sub(r"\s+", " ", text).strip(" ;,:")
    return text if text.endswith("\\ldots") else text.rstrip(" .")


def as_tex(character: str) -> str:
    """One Unicode mathematical character as TeX: roots, superscripts, fractions, Greek."""
    kind, plain = unicodedata.decomposition(character).split(">")[0], unicodedata.normalize("NFKC", character)
    if character in CHARACTERS:
        return CHARACTERS[character]
    if kind in ("<super", "<sub"):
        return ("^{" if kind == "<super" else "_{") + plain + "}"
    if kind == "<fraction":
        return f"\\frac{{{plain.replace(chr(0x2044), '}{')}}}"
    return plain


def font(match: re.Match[str]) -> str:
    """Text in a font: words are marked as such; for numbers, signs and single letters the font is ignored."""
    inner = re.sub("[\ue000\ue001]", "", match[1])
    if name := NAMED.get(inner.strip().lower()):
        return name
    unit = re.fullmatch(r"\s*[mshgl]\s*", inner) and not match[0].startswith(("\\mathbf", "\\b"))
    return f"\ue000{inner.strip()}\ue001" if unit or re.search(r"[^\W\d_]{2}", inner) else inner


def command(match: re.Match[str]) -> str:
    if glued := re.fullmatch(r"(lceil|rceil|lfloor|rfloor|cdot|times)([a-zA-Z])", match[1]):
        return f"\\{glued[1]} {glued[2]}"  # \lceiln: the space was removed
    name = COMMANDS.get(match[1], "" if match[1] in DROPPED.split() else match[0])
    return f"{name} " if name[-1:].isalpha() and name != match[0] else name


def word(match: re.Match[str]) -> str:
    """A run of letters: a function name, a word, or a product, which stays as it is."""
    run = match[0]
    if run[0] == "_":  # words in an index are part of the name
        return re.sub("[\ue000\ue001\\s]", "", run)
    if run[0] in "\\\ue000":
        return run
    if (name := NAMED.get(run.lower())) and (run.islower() or name in (",", "%", "\\infty ")):
        return name
    if function := re.fullmatch(r"(sin|cos|tan|ln|log)([xyz])", run):
        return f"\\{function[1]} {function[2]}"
    around = match.string[: match.start()][-1:] + match.string[match.end() :][:1]
    if re.search(r"\d", around) and run.lower() not in UNITS and "/" not in run:  # 9customers
        return run
    if len(run) > 3 or run.lower() in SHORT_WORDS.split() or not run.isascii() or "/" in run:
        return f"\ue000{run.strip()}\ue001"
    return run


def repeating(match: re.Match[str]) -> str:
    """A decimal with a bar over its repeating digits, as a fraction."""
    whole, fixed, over = match[1] or "0", match[2], match[3] or match[4]
    above = int(whole + fixed + over) - int(whole + fixed)
    return f"\\frac{{{above}}}{{{'9' * len(over) + '0' * len(fixed)}}}"


def mixed(match: re.Match[str]) -> str:
    """A whole number before a proper fraction is added to it; before an improper one it is a factor."""
    whole, above, below = match[1], match[2] or match[4], match[3] or match[5]
    proper = len(above) <= len(below) < 50 and int(above) < int(below)
    return f"({whole}+\\frac{{{above}}}{{{below}}})" if proper else match[0]


ARGUMENTS = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1, "^": 1, "_": 1}


def braced(text: str) -> str:
    r"""A text with every argument in braces: \frac12, \sqrt3, 2^10, x_1."""
    if deep(text) or len(re.findall(r"\\(?:frac|binom|sqrt)", text)) > DEEPEST:
        return text
    tokens, made = TOKEN.findall(text)[::-1], ""
    while tokens:
        made += piece(tokens)
    return made


def piece(tokens: list[str]) -> str:
    """The next token, a group or a command with its arguments, taken from the end of the list."""
    token = tokens.pop()
    if token == "{":
        return group(tokens)
    if token == "\\sqrt" and tokens and tokens[-1] == "[":
        while tokens and token[-1] != "]":
            token += tokens.pop()
        return token + argument(tokens, "\\sqrt")
    return token + "".join(argument(tokens, token) for _ in range(ARGUMENTS.get(token, 0)))


def group(tokens: list[str]) -> str:
    made = ""
    while tokens and tokens[-1] != "}":
        made += piece(tokens)
    if tokens:
        tokens.pop()
    return f"{{{made}}}"


def argument(tokens: list[str], command: str) -> str:
    """What a command takes: a group, one token or, in a text typed by hand, a number or a bracket."""
    while tokens and tokens[-1] == " ":
        tokens.pop()
    if not tokens or tokens[-1] in ("^", "_"):
        return "{}"
    made, level, script = "", 0, command in ("^", "_")
    if script and tokens[-1] in ("+", "-"):
        made = tokens.pop()
    if tokens and tokens[-1] == "(" and command in ("\\sqrt", "^"):
        while tokens and (not made.strip("+-") or level):
            level += (tokens[-1] == "(") - (tokens[-1] == ")")
            made += piece(tokens)
    elif script and tokens and tokens[-1].isdigit():
        while tokens and tokens[-1].isdigit():
            made += tokens.pop()
    elif tokens:
        made += piece(tokens)
    return made if made.startswith("{") else f"{{{made}}}"

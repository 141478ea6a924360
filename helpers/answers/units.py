"""Units of measurement in answers, one name each, and words next to a number that change its meaning."""

from __future__ import annotations

import re

NAMES = {
    "hour": "hours hr hrs h", "minute": "minutes min mins", "second": "seconds sec secs s", "day": "days",
    "week": "weeks", "month": "months", "year": "years yr yrs", "m": "meters metres meter metre",
    "km": "kilometers kilometres kilometer", "cm": "centimeters centimetres centimeter", "mm": "millimeters",
    "mile": "miles mi", "foot": "feet ft", "inch": "inches in", "yard": "yards yd", "kg": "kilograms",
    "g": "grams gram", "mg": "milligrams", "pound": "pounds lb lbs", "ounce": "ounces oz", "ton": "tons",
    "l": "liters litres liter", "ml": "milliliters", "gallon": "gallons", "acre": "acres", "unit": "units",
    "degree": "degrees deg", "radian": "radians rad", "dollar": "dollars usd", "cent": "cents",
    "euro": "euros", "point": "points", "km/hour": "kmh kph", "mile/hour": "mph", "percent": "percents",
}  # fmt: skip
UNITS = {name: unit for unit, names in NAMES.items() for name in (unit, *names.split())}
POWERS = {"square": "2", "squared": "2", "sq": "2", "cubic": "3", "cubed": "3"}
MEANT = (  # words next to a number that may change its meaning
    "million billion thousand hundred dozen half third quarter double twice negative minus less more than "
    "least most under over greater smaller fewer not no odd even about approximately mod base times to "
    "between except without prime digits"
)


def phrase(text: str, power: str = "") -> tuple[str, ...]:
    """Words as they are compared: units as symbols, "square inches" as inches^2, no articles."""
    found = re.findall(r"[^\W\d_]+|/|\d", text.casefold().replace(".", ""))
    kept = [UNITS.get(word, word).replace("/", " / ") for word in found if word not in POWERS]
    powers = [POWERS[word] for word in found if word in POWERS] + re.findall(r"\d", power)
    words = " ".join("/" if word == "per" else word for word in kept).split()
    return (*(word for word in words if word not in ("the", "a", "an", "of")), *powers)

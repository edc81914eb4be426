"""Every kind of data that a recipe's ``data`` section may name; ``.open()`` gives its corpus."""

from __future__ import annotations

from zoo.data.adder import Adder
from zoo.data.fables import Fables
from zoo.data.images import Digits, Images
from zoo.data.masked import Masked
from zoo.data.melodies import Melodies
from zoo.data.pairs import Pairs
from zoo.data.songs import Songs
from zoo.data.sounds import Sounds
from zoo.data.text import Text, Topics

DataSettings = Text | Adder | Fables | Topics | Masked | Pairs | Images | Digits | Sounds | Melodies | Songs

# There is no __init__.py here on purpose: at the root of a checkout it would shadow Hugging Face's package
# `tokenizers`.
# zoo/__init__.py puts `load` on the namespace package; this stub tells type checkers.
from zoo.tokenizers.registry import load as load

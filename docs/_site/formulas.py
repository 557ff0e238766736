"""pyradiomics' formulas, read from its docstrings."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

CLASSES = {
    "shape": "RadiomicsShape", "firstorder": "RadiomicsFirstOrder", "glcm": "RadiomicsGLCM",
    "glrlm": "RadiomicsGLRLM", "glszm": "RadiomicsGLSZM", "gldm": "RadiomicsGLDM",
    "ngtdm": "RadiomicsNGTDM", "shape2D": "RadiomicsShape2D",
}  # fmt: skip

CORRECTED = {
    # Its code divides by the dependence j, as the name says; its docstring by the grey level i.
    ("gldm", "SmallDependenceEmphasis"): (
        r"SDE = \frac{\sum^{N_g}_{i=1}\sum^{N_d}_{j=1}{\frac{\mathbf{P}(i,j)}{j^2}}}{N_z}"
    ),
}
"""Formulas where the docstring is not what is computed."""

_KNOWN = {
    r"\displaystyle": "", r"\big": "", r"\textbf": r"\mathbf", r"\textit": r"\text",
}  # fmt: skip
_BLOCK = re.compile(r"\.\. math::?\n(.+?)(?=\n\n\S|\Z)", re.DOTALL)
_INLINE = re.compile(r":math:`([^`]+)`")


def formulas() -> str:
    """A table of each feature class, with a formula or, where there is none, a sentence."""
    parts = []
    for module, class_name in CLASSES.items():
        of_class = getattr(import_module(f"radiomics.{module}"), class_name)
        parts.append(f"## {module}\n\n| feature | formula |\n|---|---|")
        for feature, deprecated in of_class.getFeatureNames().items():
            if not deprecated:
                text = inspect.getdoc(getattr(of_class, f"get{feature}FeatureValue")) or ""
                parts[-1] += f"\n| {feature} | {_defined(module, feature, text)} |"
    return "\n\n".join(parts) + "\n"


def plain_tex(tex: str) -> str:
    """LaTeX in the commands that docutils turns into MathML."""
    for unknown, known in _KNOWN.items():
        tex = tex.replace(unknown, known)
    return tex


def _defined(module: str, feature: str, text: str) -> str:
    """One feature's formula between dollar signs, or the docstring's first sentence."""
    if (module, feature) in CORRECTED:
        return f"${CORRECTED[module, feature]}$"
    body = text.partition("\n\n")[2]
    if block := _BLOCK.search(body):
        lines = [line for line in re.split(r"\n\s*\n", block[1]) if line.strip()]
        return "<br>".join(f"${_one_line(line)}$" for line in lines)
    if module == "ngtdm":
        inline = _INLINE.search(body)
        return f"${_one_line(inline[1])}$" if inline else ""
    sentence = _one_line(body.partition("\n\n")[0])
    sentence = re.sub(r"\\ :sup:`(\w+)`", r"\1", sentence)
    return _INLINE.sub(r"$\1$", sentence).replace("``", "`")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\vert ")

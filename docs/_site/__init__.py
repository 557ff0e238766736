"""The site's own parts: formulas as MathML, and text that is made from the code at build time."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from _site import formulas, reference

PARTS = {
    "commands": reference.commands,
    "profile-keys": reference.profile_keys,
    "profiles": reference.profiles,
    "run-tables": reference.run_tables,
    "feature-sets": reference.feature_sets,
    "mask-modifiers": reference.mask_modifiers,
    "models": reference.models,
    "datasets": reference.datasets,
    "metrics": reference.metrics,
    "formulas": formulas.formulas,
}


class Generated(SphinxDirective):
    """A part of a page, written in Markdown by a function of ``PARTS``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Nodes of the part that the argument names."""
        name = self.arguments[0]
        if name not in PARTS:
            raise self.error(f"generated '{name}': no such part; it is one of {', '.join(PARTS)}")
        self.env.note_reread()
        return self.parse_text_to_nodes(PARTS[name](), allow_section_headings=True)


def _mathml(writer: Any, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    block = isinstance(node, nodes.math_block)
    writer.body.append(tex2mathml(formulas.plain_tex(node.astext()), as_block=block))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the renderer."""
    app.add_directive("generated", Generated)
    app.add_lexer("csv", TextLexer)
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

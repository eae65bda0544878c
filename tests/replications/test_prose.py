"""Oracle: formulas as they are typed in a docstring, and as a reader wants to see them, both written down here."""

import pytest

from replications.reporting.prose import html, raised, sections, table


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("e^i = softmax((B^i)^T h^i) - y", "e<sup>i</sup> = softmax((B<sup>i</sup>)<sup>T</sup> h<sup>i</sup>) - y"),
        ("h^{i-1}", "h<sup>i-1</sup>"),
        ("W^+ and 2^(1/3)", "W<sup>+</sup> and 2<sup>(1/3)</sup>"),
        ("|x|^2", "|x|<sup>2</sup>"),
        ("in +-1/sqrt(800)", "in ±1/sqrt(800)"),
        ("`a^b` is code and a^b is none", "`a^b` is code and a<sup>b</sup> is none"),
        ("a ^ b", "a ^ b"),
    ],
)
def test_formulas_are_shown_as_formulas(typed, shown):
    """Readers met B^i and +-1, as no book prints them."""
    assert raised(typed) == shown


def test_a_preprint_is_a_link_and_the_rest_of_the_text_is_literal():
    """The report named a paper and did not lead to it."""
    assert html("<b> arXiv 1411.0247, e^i") == (
        '&lt;b&gt; <a href="https://arxiv.org/abs/1411.0247">arXiv 1411.0247</a>, e<sup>i</sup>'
    )
    markdown = sections("Title\n\nPaper\n    See arXiv 1411.0247: a_b < B^i[1].\n")
    assert (
        markdown
        == "## Paper\n\nSee [arXiv 1411.0247](https://arxiv.org/abs/1411.0247): a\\_b \\< B<sup>i</sup>\\[1\\]."
    )


def test_a_bar_in_a_cell_does_not_end_the_cell():
    """|SG| in a claim moved the verdict into another column."""
    assert table(["claim", ""], [["|SG|", ""], ["a", "b"]]) == "| claim | |\n|---|---|\n| \\|SG\\| | |\n| a | b |"

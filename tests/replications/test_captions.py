"""Every committed figure says what to see in it."""

import pytest

from replications.captions import captions
from replications.committed import RESULTS
from replications.registry import names


@pytest.mark.parametrize("paper", names())
def test_every_committed_figure_has_a_caption_and_every_caption_a_figure(paper):
    """A figure that is called `b-scale` and nothing else is read by its author only."""
    figures = {path.stem for path in RESULTS.glob(f"{paper}/*/figures/*.png")}
    assert figures == captions(paper).keys()
    assert all(len(caption.split()) > 5 and caption.endswith((".", '"')) for caption in captions(paper).values())


def test_a_paper_of_another_package_has_none():
    assert captions("nobody2099") == {}

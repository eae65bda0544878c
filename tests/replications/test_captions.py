"""Every committed figure says what to see in it."""

import pytest

from replications.experiment.registry import load, names
from replications.reporting.committed import RESULTS


@pytest.mark.parametrize("paper", names())
def test_every_committed_figure_has_a_caption_and_every_caption_a_figure(paper):
    """A figure that is called `b-scale` and nothing else is read by its author only."""
    captions = load(paper).captions
    assert {path.stem for path in RESULTS.glob(f"{paper}/*/figures/*.png")} == captions.keys()
    assert all(len(caption.split()) > 5 and caption.endswith((".", '"')) for caption in captions.values())

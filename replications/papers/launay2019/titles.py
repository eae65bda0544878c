"""Names that the page, the claims and the figures of launay2019 share."""

TITLES = {
    "bp": "backpropagation",
    "usf": "uniform sign symmetry",
    "fa": "feedback alignment",
    "dfa": "direct feedback alignment",
    "frozen": "direct feedback alignment behind frozen convolutions",
}


def second(variant: str) -> str:
    """The number of the block that ends with the second hidden layer."""
    return "1" if variant == "repo" else "2"

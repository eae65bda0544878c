"""The claims of czarnecki2017 and their tolerances, fixed before any run of ours."""

from replications.judging.claims import Claim
from replications.papers.czarnecki2017.claims.formulas import FORMULAS
from replications.papers.czarnecki2017.claims.learning import LEARNING
from replications.papers.czarnecki2017.claims.planar import PLANAR
from replications.papers.czarnecki2017.claims.representations import REPRESENTATIONS
from replications.papers.czarnecki2017.claims.table2 import TABLE2

CLAIMS: tuple[Claim, ...] = (*FORMULAS, *TABLE2, *PLANAR, *LEARNING, *REPRESENTATIONS)

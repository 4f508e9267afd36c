"""Why a version predicts what it predicts: what each of the user's columns adds to a base, in the target's unit.

    packed_arrays   the file beside the scorer, a safetensors file: named arrays and notes, nothing that runs
    coalitions      any model, asked itself: all coalitions of few columns, sampled orders of many
    leaf_paths      trees, by the covers of their leaves
    leaf_tables     the same looked up, where a path has few columns
    single_columns  models that add up what each column gives by itself
    column_pairs    models in which no three columns act together
    weighted_sums   blends of trees and such models
    explaining      a version's file -> what explains its predictions

It needs numpy; what it explains, it asks through a function. It is imported at its first use: who asks for no
reasons pays nothing for them.
"""

from serving.scorer.reasons.explaining import METHOD, About, Explainer, Names, Reasons, Ways, explainer_of
from serving.scorer.reasons.packed_arrays import Arrays, packed

__all__ = ["METHOD", "About", "Arrays", "Explainer", "Names", "Reasons", "Ways", "explainer_of", "packed"]

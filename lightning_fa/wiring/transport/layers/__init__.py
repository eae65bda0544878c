"""The weight layers that a transport rule governs: the forward of each type of layer, written once for all rules."""

from lightning_fa.wiring.transport.layers.choice import Layer, Weight, choose_layers, ungovernable
from lightning_fa.wiring.transport.layers.known import ELEMENTWISE, INPUT_ONLY, LAYERS, behaviour_of, matrices_of
from lightning_fa.wiring.transport.layers.presented import Plan, Presented
from lightning_fa.wiring.transport.layers.registered import register_layer

__all__ = [
    "ELEMENTWISE",
    "INPUT_ONLY",
    "LAYERS",
    "Layer",
    "Plan",
    "Presented",
    "Weight",
    "behaviour_of",
    "choose_layers",
    "matrices_of",
    "register_layer",
    "ungovernable",
]

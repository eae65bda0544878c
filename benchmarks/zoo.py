"""Small networks of other libraries with random weights: ``{library: {name: make}}``. Nothing is downloaded.

``make()`` returns the network and its input: a tensor, a tuple of arguments or a mapping of keywords. Libraries that are not
installed are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

Sample = tuple[nn.Module, Any]
CLASSES = 5


def images(size: int = 64, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size)


def words(vocabulary: int = 50, length: int = 8, batch: int = 2) -> Tensor:
    return torch.randint(3, vocabulary, (batch, length))


def torchvision() -> dict[str, Callable[[], Sample]]:
    from torchvision import models

    def classifier(name: str, size: int = 64, **settings: Any) -> Callable[[], Sample]:
        return lambda: (models.get_model(name, weights=None, num_classes=CLASSES, **settings), images(size))

    names = ("resnet18", "wide_resnet50_2", "vgg11", "vgg11_bn", "squeezenet1_1", "densenet121", "shufflenet_v2_x0_5")
    names += ("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "regnet_y_400mf", "efficientnet_b0", "convnext_tiny")
    found = {name: classifier(name) for name in names}
    found["alexnet"] = classifier("alexnet", 96)
    found["googlenet"] = classifier("googlenet", 96, aux_logits=False, init_weights=False)
    found["swin_t"] = classifier("swin_t")
    found["vit (2 layers)"] = lambda: (models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES), images(32))
    found["r3d_18"] = lambda: (
        models.get_model("r3d_18", weights=None, num_classes=CLASSES),
        torch.randn(2, 3, 4, 32, 32),
    )
    return found


def timm() -> dict[str, Callable[[], Sample]]:
    from timm import create_model

    def classifier(name: str, size: int = 64, **settings: Any) -> Callable[[], Sample]:
        return lambda: (create_model(name, pretrained=False, num_classes=CLASSES, **settings), images(size))

    names = ("resnet10t", "tf_mobilenetv3_small_minimal_100", "tf_efficientnet_b0", "resnetv2_50x1_bit")
    names += ("convnext_atto", "ghostnet_050", "mobilevit_xxs", "efficientvit_b0", "repvgg_a0", "seresnet18")
    found = {name: classifier(name) for name in names}
    found["vit_tiny_patch16_224"] = classifier("vit_tiny_patch16_224", img_size=64, depth=3)
    found["mixer_s32_224"] = classifier("mixer_s32_224", img_size=64)
    found["efficientformer_l1"] = classifier("efficientformer_l1", 224)
    return found


def transformers() -> dict[str, Callable[[], Sample]]:
    import transformers as hf

    def model(kind: str, head: str, x: Callable[[], dict[str, Tensor]], **settings: Any) -> Callable[[], Sample]:
        config = getattr(hf, f"{kind}Config")(num_labels=CLASSES, **settings)
        return lambda: (getattr(hf, f"{kind}For{head}")(config), x())

    def text() -> dict[str, Tensor]:
        return {"input_ids": words()}

    def pixels() -> dict[str, Tensor]:
        return {"pixel_values": images(32)}

    small = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    sized = {**small, "vocab_size": 50}
    end = {"pad_token_id": 0}
    distilled = {"vocab_size": 50, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
    gpt = {"vocab_size": 50, "n_embd": 16, "n_layer": 3, "n_head": 2}
    opt = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "ffn_dim": 32, "num_attention_heads": 2}
    return {
        "BERT": model("Bert", "SequenceClassification", text, **sized),
        "BERT, tokens": model("Bert", "TokenClassification", text, **sized),
        "RoBERTa": model("Roberta", "SequenceClassification", text, **sized),
        "ELECTRA": model("Electra", "SequenceClassification", text, embedding_size=16, **sized),
        "ALBERT": model("Albert", "SequenceClassification", text, embedding_size=16, **sized),
        "DistilBERT": model("DistilBert", "SequenceClassification", text, **distilled),
        "GPT-2": model("GPT2", "SequenceClassification", text, **gpt, **end),
        "OPT": model("OPT", "SequenceClassification", text, word_embed_proj_dim=16, **opt, **end),
        "Llama": model("Llama", "SequenceClassification", text, num_key_value_heads=2, **end, **sized),
        "ViT": model("ViT", "ImageClassification", pixels, image_size=32, patch_size=8, **small),
    }


def torch_geometric() -> dict[str, Callable[[], Sample]]:
    from torch_geometric.nn import models

    def graph(kind: str) -> Callable[[], Sample]:
        edges = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]])
        return lambda: (getattr(models, kind)(8, 16, 3, CLASSES), (torch.randn(6, 8), edges))

    return {kind: graph(kind) for kind in ("GCN", "GraphSAGE", "GAT", "GIN", "EdgeCNN")}


def snntorch() -> dict[str, Callable[[], Sample]]:
    import snntorch as snn

    class Loop(nn.Module):
        """Layers and neurons in a loop over time steps, which hands their membranes on."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
            self.neurons = nn.ModuleList(snn.Leaky(beta=0.9) for _ in range(2))
            self.head = nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            membranes, total = [neuron.init_leaky() for neuron in self.neurons], 0.0
            for _ in range(4):
                h = x
                for i, (layer, neuron) in enumerate(zip(self.layers, self.neurons)):
                    h, membranes[i] = neuron(layer(h), membranes[i])
                total = total + self.head(h)
            return total / 4

    return {"Leaky, a loop over 4 steps": lambda: (Loop(), 5 * torch.randn(6, 8))}


def spikingjelly() -> dict[str, Callable[[], Sample]]:
    from spikingjelly.activation_based import functional, layer, neuron

    class Steps(nn.Module):
        """Convolutions and neurons that take all time steps at once."""

        def __init__(self) -> None:
            super().__init__()
            parts = [
                layer.Conv2d(3, 4, 3, padding=1),
                neuron.LIFNode(),
                layer.Conv2d(4, 4, 3, padding=1),
                layer.BatchNorm2d(4),
            ]
            self.net = nn.Sequential(*parts, neuron.LIFNode(), layer.Flatten(), layer.Linear(4 * 64, CLASSES))
            functional.set_step_mode(self, "m")

        def forward(self, x: Tensor) -> Tensor:
            functional.reset_net(self)
            return self.net(x)

    return {"LIF, 4 steps at once": lambda: (Steps(), 5 * torch.randn(4, 2, 3, 8, 8))}


def lightning() -> dict[str, Callable[[], Sample]]:
    from lightning.pytorch import demos

    def translator() -> Sample:
        return demos.Transformer(50, ninp=16, nhead=2, nhid=16, nlayers=2), (words(), words())

    def recurrent() -> Sample:
        return nn.Sequential(nn.Embedding(50, 16), Last(nn.LSTM(16, 16, batch_first=True)), nn.Linear(16, 5)), words()

    def boring() -> Sample:
        return demos.BoringModel(), torch.randn(4, 32)

    return {"demos.Transformer": translator, "demos.BoringModel": boring, "LSTM classifier (own)": recurrent}


class Last(nn.Module):
    """A recurrent layer that returns its last state."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0][:, -1]


LIBRARIES = {
    each.__name__: each
    for each in (torchvision, timm, transformers, torch_geometric, snntorch, spikingjelly, lightning)
}


def zoo() -> dict[str, dict[str, Callable[[], Sample]]]:
    """The networks of the installed libraries, by library."""
    return {name: make() for name, make in LIBRARIES.items() if find_spec(name)}

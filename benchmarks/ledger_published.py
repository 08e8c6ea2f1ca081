"""The networks that are counted, with what has been published of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from torch import nn

FOLDER = Path(__file__).with_name("networks")


@dataclass(frozen=True)
class Network:
    """`params` is exact and published; `giga` are published multiply-adds of an image in 10^9, to two places."""

    name: str
    file: str
    factory: str
    params: int
    giga: float | None
    size: int = 224

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, 3, self.size, self.size

    def build(self) -> nn.Module:
        """With random weights, in evaluation mode."""
        path = FOLDER / self.file
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network: nn.Module = getattr(module, self.factory)()
        return network.eval()


#: Figures of torchvision's model pages; MLP-Mixer's parameters are timm's.
NETWORKS = (
    Network("AlexNet", "alexnet.py", "alexnet", 61_100_840, 0.71),
    Network("VGG-16", "vgg.py", "vgg16", 138_357_544, 15.47),
    Network("ResNet-50", "resnet.py", "resnet50", 25_557_032, 4.09),
    Network("ViT-B/16", "vit.py", "vit_b16", 86_567_656, 17.56),
    Network("ConvNeXt-T", "convnext.py", "convnext_tiny", 28_589_128, 4.46),
    Network("Swin-T", "swin.py", "swin_tiny", 28_288_354, 4.49),
    Network("MobileNetV2", "mobilenet.py", "mobilenet_v2", 3_504_872, 0.30),
    Network("DenseNet-121", "densenet.py", "densenet121", 7_978_856, 2.83),
    Network("Inception v3", "inception.py", "inception_v3", 27_161_264, 5.71, size=299),
    Network("EfficientNet-B0", "efficientnet.py", "efficientnet_b0", 5_288_548, 0.39),
    Network("MLP-Mixer-B/16", "mixer.py", "mixer_b16", 59_880_472, None),
)

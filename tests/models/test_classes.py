"""Classes from pooled tokens."""

import pytest
import torch

from humanpt.models.classes import ClassesHeadConfig, ClassesNetwork
from humanpt.models.croco import tiny
from humanpt.models.trunk import Trunk

NAMES = ClassesHeadConfig(class_names=("fist", "palm", "point"))


@pytest.mark.parametrize("views", [1, 2])
def test_all_classes_are_alike_before_training(views):
    torch.manual_seed(0)
    network = ClassesNetwork(Trunk(tiny(), views=views), NAMES)
    logits = network(*torch.randn(views, 2, 3, 64, 64))
    assert logits.shape == (2, 3)
    assert (logits == 0).all()


def test_the_order_of_the_tokens_is_of_no_concern():
    torch.manual_seed(0)
    network = ClassesNetwork(Trunk(tiny()), NAMES)
    torch.nn.init.normal_(network.classify.weight)
    tokens = torch.randn(2, 16, network.trunk.width)
    answers = []
    for order in (torch.arange(16), torch.randperm(16)):
        network.trunk.forward = lambda image1, image2=None, order=order: tokens[:, order]
        answers.append(network(torch.zeros(2, 3, 64, 64)))
    torch.testing.assert_close(*answers)


def test_one_class_is_no_choice():
    with pytest.raises(ValueError, match="two or more"):
        ClassesNetwork(Trunk(tiny()), ClassesHeadConfig(class_names=("fist",)))

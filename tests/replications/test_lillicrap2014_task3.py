"""Oracle: students of task 3 learn by autograd's gradient, or the library's rule, of half the squared error."""

import pytest
import torch
from torch import nn

import lightning_fa as fa
from replications.papers.lillicrap2014.settings import Teacher
from replications.papers.lillicrap2014.student import draw_student, forward, learn, mean_error
from replications.papers.lillicrap2014.task3 import draw_teacher, examples

SIZES = {3: (6, 5, 3), 4: (6, 5, 4, 3)}
RATE = 0.05


def torch_student(student, copy):
    layers = []
    for W, b in zip(student.W, student.b, strict=True):
        layer = nn.Linear(W.shape[2], W.shape[1]).double()
        with torch.no_grad():
            layer.weight.copy_(W[copy])
            layer.bias.copy_(b[copy, :, 0])
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("layers", [3, 4])
@pytest.mark.parametrize("rule", ["bp", "fa", "shallow"])
def test_every_copy_learns_as_a_module_does_under_the_librarys_rule(layers, rule):
    student = draw_student([3, 7], SIZES[layers], 0.5, 0.5)
    model = torch_student(student, 1)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    rules = {
        "bp": fa.Backpropagation(),
        "fa": fa.FeedbackAlignment(init={n: B[1].T.clone() for n, B in zip(names, student.B, strict=True)}),
        "shallow": fa.RULES["shallow"](),
    }
    fa.attach(model, rules[rule])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=RATE)
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        x, y = (torch.randn(1, n, 1, generator=rng, dtype=torch.float64) for n in (6, 3))
        optimizer.zero_grad()
        (0.5 * (model(x[..., 0]) - y[..., 0]).square().sum()).backward()
        optimizer.step()
        learn(student, x, y, rule, RATE)
    for layer, name in enumerate(names):
        torch.testing.assert_close(student.W[layer][1], model.get_submodule(name).weight.detach(), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(
            student.b[layer][1, :, 0], model.get_submodule(name).bias.detach(), rtol=1e-6, atol=1e-8
        )


def test_all_algorithms_see_the_same_teacher_and_the_same_examples():
    settings = Teacher(examples=1500)
    teacher = draw_teacher(settings)
    first = [x.clone() for x, _ in examples(teacher, settings)]
    second = [x.clone() for x, _ in examples(draw_teacher(settings), settings)]
    assert len(first) == 1500
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1000])


def test_the_teacher_itself_has_no_error_and_silence_has_an_error_of_one():
    settings = Teacher()
    teacher = draw_teacher(settings)
    x = torch.randn(1, 30, 100, dtype=torch.float64)
    y = forward(teacher, x)[-1]
    assert mean_error(teacher, x, y).item() == 0
    silent = draw_student([0], (30, 20, 10), 0.0, 0.2)
    assert mean_error(silent, x, y).item() == pytest.approx(1)

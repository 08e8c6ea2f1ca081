"""What each ONNX operator does to a network's account: the rules beside those for PyTorch's.

Conventions: a convolution's, product's or recurrent cell's MACs are one per weight it meets, the taps on
padding among them; recurrent layers are counted step by step, for the longest sequence; quantised forms
count as what they stand for. Positional arguments are a node's inputs, named ones its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from striate.ledger.effects import (
    Contraction,
    Effect,
    ElementWise,
    Joined,
    Moved,
    Padding,
    Plain,
    Pooling,
    Product,
    Unknown,
    Window,
)
from striate.ledger.graph import Argument, Operator, Tensor, tensor

#: The named argument by which the reader says that it could not make sense of a node, and why.
NOT_READ = "striate.not_read"
#: What is not known then.
MEMORY = ("activation_bytes", "peak_activation_bytes")
WORK = ("connections", "dense_params", "macs", "flops", "pooling")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Each element from those at its place, in any number of inputs.
ELEMENTWISE = _names(
    """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish
    Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor"""
)
#: Work on elements, or normalisation over them, that keeps the first input's shape.
KEEPS_SHAPE = _names(
    """BatchNormalization Bernoulli CumProd CumSum DequantizeLinear Dropout DynamicQuantizeLinear
    GroupNormalization Hardmax ImageScaler InstanceNormalization LRN LayerNormalization LogSoftmax
    LpNormalization MeanVarianceNormalization QuantizeLinear RMSNormalization ReverseSequence
    RotaryEmbedding Scatter ScatterElements ScatterND Softmax TensorScatter Trilu"""
)
#: Tensors from nothing but sizes and numbers.
CREATES = _names(
    """BlackmanWindow Constant ConstantOfShape EyeLike HammingWindow HannWindow MelWeightMatrix
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range SequenceEmpty Shape Size"""
)
#: Look-ups, reductions, sorting, interpolation, transforms, lists: no contraction, shapes of their own.
PLAIN = _names(
    """AffineGrid ArgMax ArgMin CenterCropPad Col2Im Compress ConcatFromSequence DFT DepthToSpace Det
    Gather GatherElements GatherND GridSample ImageDecoder MaxRoiPool MaxUnpool Multinomial
    NegativeLogLikelihoodLoss NonMaxSuppression NonZero OneHot Optional OptionalGetElement
    OptionalHasElement ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMin ReduceProd ReduceSum
    ReduceSumSquare RegexFullMatch Resize RoiAlign STFT SequenceAt SequenceConstruct SequenceErase
    SequenceInsert SequenceLength Slice SoftmaxCrossEntropyLoss SpaceToDepth Split SplitToSequence
    StringConcat StringNormalizer StringSplit SwiGLU TfIdfVectorizer Tile TopK Unique Upsample"""
)
#: Outputs in the memory of the first input.
VIEWS = _names("Dropout Flatten Identity Reshape Squeeze Unsqueeze")


def effect(operator: Operator) -> Effect:
    """The effect of one ONNX operator, whose name begins with `onnx.`.

    Raises `ValueError` where the node lacks what its operator needs.
    """
    name = operator.name.removeprefix("onnx.")
    reason = dict(operator.named).get(NOT_READ)
    if reason is not None:
        known = name in ELEMENTWISE | KEEPS_SHAPE | CREATES | PLAIN or name in _MOVES
        return Unknown(str(reason), MEMORY if known else (*WORK, *MEMORY))
    rule = RULES.get(name)
    if rule is not None:
        return rule(operator)
    if name in ELEMENTWISE or name in KEEPS_SHAPE:
        return ElementWise()
    if name in CREATES or name in PLAIN:
        return Plain(creates=name in CREATES)
    return Unknown("no rule for this operator: its work and connections are not counted", WORK)


def is_work(name: str) -> bool:
    """Whether an operator can multiply and add or pool, or is not known."""
    return not (
        name in ELEMENTWISE | KEEPS_SHAPE | CREATES | PLAIN
        or name in _MOVES
        or name in ("ReduceMean", "ReduceMax")
    )


def _named(operator: Operator, name: str, default: Argument = None) -> Argument:
    return dict(operator.named).get(name, default)


def _integers(value: Argument) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(int(entry) for entry in values if isinstance(entry, int))


def _per_axis(operator: Operator, name: str, axes: int, default: int) -> tuple[int, ...]:
    values = _integers(_named(operator, name, (default,) * axes))
    if len(values) != axes:
        raise ValueError(f"{name}={list(values)} should have {axes} numbers")
    return values


# -- windows -----------------------------------------------------------------------------------


def _paddings(
    operator: Operator,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """(before, after) along each axis; `auto_pad` is worked out for these sizes."""
    axes = len(kernel)
    auto = _named(operator, "auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = _integers(_named(operator, "pads", (0,) * 2 * axes))
        if len(pads) != 2 * axes:
            raise ValueError(f"pads={list(pads)} should have {2 * axes} numbers")
        return tuple(zip(pads[:axes], pads[axes:], strict=True))
    if auto == "VALID":
        return ((0, 0),) * axes
    result = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
        result.append(_halves(total, auto))
    return tuple(result)


def _halves(total: int, auto: Argument) -> tuple[int, int]:
    """Padding shared out: the odd one behind for SAME_UPPER, before for SAME_LOWER."""
    less = total // 2
    return (total - less, less) if auto == "SAME_LOWER" else (less, total - less)


def _windows(operator: Operator, data: Tensor, kernel: tuple[int, ...]) -> tuple[Window, ...]:
    axes = len(kernel)
    stride = _per_axis(operator, "strides", axes, 1)
    dilation = _per_axis(operator, "dilations", axes, 1)
    if len(data.shape) != axes + 2 or min((*kernel, *stride, *dilation)) < 1:
        raise ValueError(f"a window of {list(kernel)} on {list(data.shape)}")
    padding = _paddings(operator, data.shape[2:], kernel, stride, dilation)
    ceil = bool(_named(operator, "ceil_mode", 0))
    return tuple(
        Window(k, s, p, d, ceil)
        for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
    )


# -- contractions ------------------------------------------------------------------------------


def _convolution(weight_at: int, bias_at: int | None) -> Callable[[Operator], Effect]:
    def rule(operator: Operator) -> Effect:
        data, weight, output = tensor(operator, 0), tensor(operator, weight_at), operator.outputs[0]
        kernel = weight.shape[2:]  # (O, C/groups, *kernel)
        windows = _windows(operator, data, kernel)
        connections = output.units * weight.shape[1] * prod(kernel)
        pairs = output.units // max(1, prod(output.shape[2:])) * weight.shape[1]
        bias = None if bias_at is None else operator.tensor(bias_at)
        return Contraction("convolution", data, weight, output, connections, bias, windows, pairs)

    return rule


def _transposed(operator: Operator) -> Effect:
    data, weight, output = tensor(operator, 0), tensor(operator, 1), operator.outputs[0]
    kernel = weight.shape[2:]  # (C, O/groups, *kernel)
    axes = len(kernel)
    stride = _per_axis(operator, "strides", axes, 1)
    dilation = _per_axis(operator, "dilations", axes, 1)
    if len(data.shape) != axes + 2 or min((*kernel, *stride, *dilation)) < 1:
        raise ValueError(f"a kernel of {list(kernel)} on {list(data.shape)}")
    auto = _named(operator, "auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER") or _named(operator, "output_shape") is not None:
        extra = _per_axis(operator, "output_padding", axes, 0)
        padding = tuple(
            _halves(max(0, s * (i - 1) + e + (k - 1) * d + 1 - o), auto)
            for s, i, e, k, d, o in zip(
                stride, data.shape[2:], extra, kernel, dilation, output.shape[2:], strict=True
            )
        )
    else:
        padding = _paddings(operator, data.shape[2:], kernel, stride, dilation)
    windows = tuple(
        Window(k, s, p, d) for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
    )
    connections = data.units * weight.shape[1] * prod(kernel)
    pairs = data.units // max(1, prod(data.shape[2:])) * weight.shape[1]
    return Contraction(
        "transposed", data, weight, output, connections, operator.tensor(2), windows, pairs
    )


def _matmul(first: int, second: int) -> Callable[[Operator], Effect]:
    def rule(operator: Operator) -> Effect:
        left, right = tensor(operator, first), tensor(operator, second)
        output = operator.outputs[0]
        if not left.shape or not right.shape:
            raise ValueError("a product of single numbers")
        return Contraction("matmul", left, right, output, output.units * left.shape[-1])

    return rule


def _gemm(operator: Operator) -> Effect:
    left, right, output = tensor(operator, 0), tensor(operator, 1), operator.outputs[0]
    if len(left.shape) != 2:
        raise ValueError(f"{list(left.shape)} is no matrix")
    flipped = bool(_named(operator, "transA", 0))
    connections = output.units * left.shape[0 if flipped else 1]
    form = "einsum" if flipped else "matmul"
    return Contraction(form, left, right, output, connections, operator.tensor(2))


def _einsum(operator: Operator) -> Effect:
    """Two operands: as many products as all indices have places; one: sums and moves."""
    equation = str(_named(operator, "equation", "")).replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    operands = [tensor(operator, index) for index in range(len(operator.arguments))]
    if len(terms) != len(operands):
        raise ValueError(f"equation={equation!r} of {len(operands)} operands")
    if len(operands) == 1:
        return Plain()
    if len(operands) > 2:
        return Unknown(f"einsum of {len(operands)} operands, in an order that is not said", WORK)
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        before, dots, after = term.partition("...")
        rank, named = len(operand.shape), len(before) + len(after)
        if named > rank or (not dots and named != rank):
            raise ValueError(f"equation={equation!r}: {term!r} of {rank} axes")
        # Axes under the dots are counted from the last one, as they are matched.
        hidden = [f"...{place}" for place in range(rank - named, 0, -1)]
        for index, size in zip((*before, *hidden, *after), operand.shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    left, right = operands
    connections = prod(sizes.values())
    return Contraction("einsum", left, right, operator.outputs[0], connections)


def _attention(operator: Operator) -> Effect:
    """Scores, then their product with the values: heads x queries x keys x (their size + the values')."""
    query, key, value = (tensor(operator, index) for index in range(3))
    past, total = operator.tensor(4), operator.outputs[0]
    heads = _named(operator, "q_num_heads") if len(query.shape) == 3 else query.shape[1]
    holders = _named(operator, "kv_num_heads") if len(key.shape) == 3 else key.shape[1]
    if not isinstance(heads, int) or not isinstance(holders, int) or min(heads, holders) < 1:
        raise ValueError("q_num_heads and kv_num_heads are missing")
    flat = len(query.shape) == 3
    size = query.shape[-1] // heads if flat else query.shape[-1]
    width = value.shape[-1] // holders if len(value.shape) == 3 else value.shape[-1]
    keys = key.shape[-2] + (0 if past is None else past.shape[-2])
    scores = total.shape[0] * heads * query.shape[-2] * keys
    return Product((query, key, value), scores * (size + width), scores)


def _recurrent(operator: Operator) -> Effect:
    """One part of a recurrent layer, as `ledger.onnx.recurrent` has taken it apart."""
    part = _named(operator, "part")
    if part == "product":
        data, weight = tensor(operator, 0), tensor(operator, 1)  # (directions, gates, inputs)
        output = operator.outputs[0]
        connections = data.units * weight.shape[1]
        return Contraction("matmul", data, weight, output, connections, operator.tensor(2))
    return Plain() if part == "steps" else ElementWise()


# -- pooling -----------------------------------------------------------------------------------


def _pool(operator: Operator) -> Effect:
    data = tensor(operator, 0)
    kernel = _integers(_named(operator, "kernel_shape"))
    if not kernel:
        raise ValueError("kernel_shape is missing")
    return Pooling(data, operator.outputs[0], len(kernel), _windows(operator, data, kernel))


def _global_pool(operator: Operator) -> Effect:
    data = tensor(operator, 0)
    return Pooling(data, operator.outputs[0], len(data.shape) - 2, None)


def _reduction(operator: Operator) -> Effect:
    """A mean or maximum over every spatial axis is a global pooling; any other is a reduction."""
    data = tensor(operator, 0)
    rank = len(data.shape)
    axes = _integers(_named(operator, "axes", operator.argument(1)))
    if rank < 4 or {axis % rank for axis in axes} != set(range(2, rank)):
        return Plain()
    keeps = len(operator.outputs[0].shape) == rank
    return Pooling(data, operator.outputs[0], rank - 2, None, keeps_axes=keeps)


# -- paddings and moves ------------------------------------------------------------------------


def _pad(operator: Operator) -> Effect:
    data, output = tensor(operator, 0), operator.outputs[0]
    rank = len(data.shape)
    pads = _integers(_named(operator, "pads", operator.argument(1)))
    axes = _integers(operator.argument(3)) or tuple(range(rank))
    if len(pads) != 2 * len(axes):
        return Unknown("how much it pads is not known", ("connections", "dense_params", "pooling"))
    amounts = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        amounts[axis % rank] = (pads[place], pads[len(axes) + place])
    value = _named(operator, "value", 0) or isinstance(operator.argument(2), Tensor)
    zeros = _named(operator, "mode", "constant") == "constant" and not value
    return Padding(data, output, tuple(amounts), zeros)


def _moved(how: str) -> Callable[[Operator], Effect]:
    def rule(operator: Operator) -> Effect:
        data, output = tensor(operator, 0), operator.outputs[0]
        if how != "expand" and data.units != output.units:
            raise ValueError(f"{list(data.shape)} cannot become {list(output.shape)}")
        return Moved(how, data, output)

    return rule


def _transpose(operator: Operator) -> Effect:
    data, output = tensor(operator, 0), operator.outputs[0]
    rank = len(data.shape)
    order = _integers(_named(operator, "perm", tuple(reversed(range(rank)))))
    if sorted(axis % rank for axis in order) != list(range(rank)):
        raise ValueError(f"perm={list(order)} on {rank} axes")
    return Moved("permute", data, output, tuple(axis % rank for axis in order))


def _concat(operator: Operator) -> Effect:
    parts, output = operator.inputs, operator.outputs[0]
    axis = _named(operator, "axis", 1)
    return Joined(parts, output, int(str(axis)) % max(1, len(output.shape)))


_MOVES: Mapping[str, Callable[[Operator], Effect]] = {
    "Concat": _concat,
    "Expand": _moved("expand"),
    "Flatten": _moved("view"),
    "Identity": _moved("copy"),
    "Pad": _pad,
    "Reshape": _moved("view"),
    "Squeeze": _moved("view"),
    "Transpose": _transpose,
    "Unsqueeze": _moved("view"),
}
RULES: Mapping[str, Callable[[Operator], Effect]] = {
    **_MOVES,
    # Where something inside of them is work, the reader says so.
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), lambda operator: Plain()),
    "Conv": _convolution(1, 2),
    "ConvInteger": _convolution(1, None),
    "QLinearConv": _convolution(3, 8),
    "DeformConv": _convolution(1, 3),
    "ConvTranspose": _transposed,
    "MatMul": _matmul(0, 1),
    "MatMulInteger": _matmul(0, 1),
    "QLinearMatMul": _matmul(0, 3),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalMaxPool": _global_pool,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_pool,
    "ReduceMean": _reduction,
    "ReduceMax": _reduction,
}

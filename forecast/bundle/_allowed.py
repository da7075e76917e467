"""What a saved network may be made of: the allow-list of `_network`, in code and never in the file that is read.

    {"module": "keras.layers", "class_name": "LSTM", "registered_name": null, "config": {...}}
               `-- a key of ALLOWED   `-- in its set    `-- absent, or the class name itself

Left out on purpose:

- `Lambda`, and whatever takes a function: `keras.ops` Map, Scan, Cond, WhileLoop, JVP, ...; MeanMetricWrapper
- what runs foreign code: TFSMLayer, TorchModuleWrapper, FlaxLayer, JaxLayer
- what reads files: StringLookup, IntegerLookup, TextVectorization
- image augmentation: nothing a forecast needs
- everything in `keras.saving`, `keras.utils` and `keras.config`; and `get`, `deserialize` anywhere
"""

from typing import Any

_LAYERS = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D
    AdaptiveMaxPooling2D Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization Bidirectional CategoryEncoding Concatenate Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense
    DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity InputLayer
    LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling Reshape
    ReversibleEmbedding SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""

_OPS_NUMPY = """
    Abs Absolute Add All Amax Amin Any Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort
    Average BroadcastTo Cbrt Ceil Clip Concatenate Copy Cos Cosh CountNonzero Cumprod Cumsum Deg2rad Diff Divide
    DivideNoNan Dot Einsum Equal Exp Exp2 ExpandDims Expm1 Flip Floor FloorDivide Fmax Fmin Fmod FullLike GetItem
    Greater GreaterEqual Heaviside Hypot Isclose Isfinite Isinf Isnan Less LessEqual Log Log10 Log1p Log2 Logaddexp
    LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max Maximum Mean Median Min Minimum Mod Moveaxis Multiply
    NanToNum Nanmax Nanmean Nanmedian Nanmin Nanstd Nansum Nanvar Negative NotEqual OnesLike Outer Pad Percentile Power
    Prod Ptp Quantile Rad2deg Ravel Reciprocal Repeat Reshape Roll Round Sign Sin Sinc Sinh Sort Split Sqrt Square
    Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Transpose Tril Triu TrueDivide
    Trunc Var Where ZerosLike
"""

_OPS_NN = """
    AveragePool Celu Conv ConvTranspose DepthwiseConv DotProductAttention Elu Gelu Glu HardShrink HardSigmoid HardSilu
    HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments Normalize OneHot RMSNorm Relu Relu6 Selu
    SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SparsePlus SparseSigmoid Sparsemax Squareplus
    TanhShrink Threshold
"""

_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""

_OPTIMIZERS = """
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop SGD
    ScheduleFreeAdamW
"""

_SCHEDULES = """
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
"""

_LOSSES = """
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
    CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
    MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky
"""

_METRICS = """
    AUC Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy CategoricalHinge
    ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge KLDivergence
    LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError
    PearsonCorrelation Poisson Precision R2Score Recall RootMeanSquaredError SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SquaredHinge Sum TrueNegatives TruePositives
"""

_POLICIES = "DTypePolicy DTypePolicyMap FloatDTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy"

ALLOWED: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "keras": f"Sequential Model {_POLICIES}",
        "keras.models": "Sequential Model",
        "keras.src.models.functional": "Functional",
        "keras.layers": _LAYERS,
        "keras.src.ops.numpy": _OPS_NUMPY,
        "keras.src.ops.nn": _OPS_NN,
        "keras.src.ops.math": "Erf Erfc Logsumexp Rsqrt SegmentMax SegmentSum TopK",
        "keras.src.ops.core": "Cast SaturateCast Slice StopGradient Unstack",
        "keras.src.ops.einops": "Rearrange",
        "keras.src.ops.linalg": "Norm",
        "keras.initializers": _INITIALIZERS,
        "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
        "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
        "keras.optimizers": _OPTIMIZERS,
        "keras.optimizers.schedules": _SCHEDULES,
        "keras.losses": _LOSSES,
        "keras.metrics": _METRICS,
        "keras.dtype_policies": _POLICIES,
    }.items()
}

# Keras writes a loss or metric given as a function as {"module": "builtins", "class_name": "function"} and looks the
# name up among its own losses, metrics and activations. Only these names are ever looked up.
_FUNCTIONS = """
    huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error
    mean_squared_logarithmic_error poisson
    celu elu exponential gelu hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6
    selu sigmoid silu softmax softplus softsign tanh tanh_shrink
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())

# Plain values in the clothes of classes: tensors of the graph, constants, `x[:, 1:]`.
VALUES = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"})


# Cells of our own, by the module that registers each with Keras under the package name `forecast`.
OWN = {
    "forecast.layers.peephole_lstm": "PeepholeLSTMCell",
    "forecast.layers.layernorm_lstm": "LayerNormLSTMCell",
}


def allowed(entry: dict[str, Any], custom: frozenset[str]) -> bool:
    """Returns whether one entry of a network's configuration may be built.

    Every kind of entry is held to the same list wherever it lies: in a layer, in `build_config`, in an argument of a
    call, or in `compile_config`, which Keras skips for the outermost network only.

    Args:
        entry: A mapping with a `class_name`.
        custom: The names in the caller's `custom_objects`.

    Example:
        >>> allowed({"module": "keras.layers", "class_name": "LSTM", "config": {}}, frozenset())
        True
        >>> allowed({"module": "keras.layers", "class_name": "Lambda", "config": {}}, frozenset())
        False
        >>> allowed({"class_name": "LSTM", "config": {}}, frozenset())  # no module: Keras's legacy reader would take it
        False
    """
    name, module, registered = entry["class_name"], entry.get("module"), entry.get("registered_name")
    if not isinstance(name, str) or not isinstance(registered, str | None):
        return False
    if name.startswith("__"):
        return name in VALUES
    if "module" not in entry:
        return False
    if name == "function":
        function = entry.get("config")
        if not isinstance(function, str) or registered not in (None, "function", function):
            return False
        return function in custom or (module == "builtins" and function in FUNCTIONS)
    if isinstance(module, str) and OWN.get(module) == name and registered == f"forecast>{name}":
        return True
    # Keras looks a registered name up before the class name: it must not lead to another class.
    if registered is not None and registered.rpartition(">")[2] != name:
        return False
    if registered in custom or name in custom:
        return True
    return registered in (None, name) and isinstance(module, str) and name in ALLOWED.get(module, ())

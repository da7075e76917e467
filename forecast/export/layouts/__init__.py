"""How a recurrent core becomes operators that a device has. ONE FILE = ONE LAYOUT.

    fused      one UNIDIRECTIONAL_SEQUENCE_LSTM a layer        smallest; LSTM only
    unrolled   every time step written out                     any cell; large, fast on application processors
    step       one time step; the host loops                   any causal cell; small, state in the host's hands

The template for another layout, `forecast/export/layouts/mine.py`:

    \"\"\"One line: what it is. A drawing.\"\"\"

    def why_not(core: Core) -> str: ...                        # why this core cannot take it; empty where it can
    def graph(core: Core, quantize: str, calibration) -> Graph: ...    # for the converter
    def finish(model, ...) -> list[str]: ...                   # repairs the converted file; says what it did
"""

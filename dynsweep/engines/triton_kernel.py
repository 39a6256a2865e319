"""The Triton kernels of the one-hidden-layer model: one run per program.

Tensors have the shape ``(UNIT_WARPS, LANES, SAMPLES)`` with LANES * SAMPLES = 32. Triton's
default layout deals such a tensor one number to a thread, the last two axes to the lanes of a
warp; so a thread holds UNITS hidden units of its run, with their gradients, in registers, and
works on one sample at a time. Sums over hidden units are FMA chains within a thread, then
shuffles, and only for UNIT_WARPS > 1 a pass through shared memory; sums over samples wait until
the end of the step. The weights are replicated along the samples.

``hidden[run, row, w, l, u]`` is row ``row`` of a unit: its INPUTS incoming weights, its bias,
and its CLASSES outgoing weights. Contractions are written out as ``fma``, and the compiler is
told to make no others, so that roundings do not depend on its version.
"""

# mypy: ignore-errors
# ruff: noqa: N803, N806, RUF005
# (Triton's language is not typed, has compile-time constants in capitals, and only adds tuples.)

import triton
import triton.language as tl

# A count that is 1 or divisible by 16 would be compiled apart, perhaps with other roundings; a
# run must give the same bits in every batch and for every chunk of steps.
COUNTS = ["steps", "tiles", "runs"]


@triton.jit(do_not_specialize=COUNTS)
def train(
    hidden_ptr,
    bias_ptr,
    rates_ptr,
    weights_ptr,
    inputs_ptr,
    labels_ptr,
    steps,
    tiles,
    runs,
    UNITS: tl.constexpr,
    UNIT_WARPS: tl.constexpr,
    LANES: tl.constexpr,
    SAMPLES: tl.constexpr,
    INPUTS: tl.constexpr,
    CLASSES: tl.constexpr,
    BIAS: tl.constexpr,
):
    """Take ``steps`` steps of gradient descent.

    hidden as above, bias ``(runs, classes)``; learning rates ``(steps, runs)``; weights
    ``(steps, runs, classes)`` are G / P; inputs ``(inputs, samples)`` and labels ``(samples,)``
    are padded to ``tiles`` times SAMPLES with samples of label -1, which count nothing.
    """
    ROWS: tl.constexpr = INPUTS + 1 + CLASSES
    run = tl.program_id(0).to(tl.int64)
    shape: tl.constexpr = (UNIT_WARPS, LANES, SAMPLES)
    warp = tl.arange(0, UNIT_WARPS)[:, None, None]
    lane = tl.arange(0, LANES)[None, :, None]
    thread = tl.broadcast_to(warp * LANES + lane, shape)
    sample = tl.broadcast_to(tl.arange(0, SAMPLES)[None, None, :], shape)
    w_ptr = ()
    w = ()
    for u in tl.static_range(UNITS):
        for r in tl.static_range(ROWS):
            row = (run * ROWS + r) * UNIT_WARPS * LANES
            w_ptr = w_ptr + (hidden_ptr + (row + thread) * UNITS + u,)
            w = w + (tl.load(w_ptr[u * ROWS + r]),)
    b_ptr = ()
    b = ()
    for c in tl.static_range(CLASSES):
        b_ptr = b_ptr + (bias_ptr + run * CLASSES + c + 0 * thread,)
        b = b + (tl.load(b_ptr[c]),)
    rates_ptr += run
    weights_ptr += run * CLASSES
    zero = tl.zeros_like(w[0])
    for _step in range(steps):
        dw = ()
        for _i in tl.static_range(UNITS * ROWS):
            dw = dw + (zero,)
        db = ()
        for _c in tl.static_range(CLASSES):
            db = db + (zero,)
        for tile in range(tiles):
            j = tile * SAMPLES + sample
            label = tl.load(labels_ptr + j)
            x = ()
            for d in tl.static_range(INPUTS):
                x = x + (tl.load(inputs_ptr + d * tiles * SAMPLES + j),)
            h = ()
            for u in tl.static_range(UNITS):
                a = w[u * ROWS + INPUTS]
                for d in tl.static_range(INPUTS):
                    a = tl.fma(x[d], w[u * ROWS + d], a)
                h = h + (tl.where(a <= 0, 0.0, a),)  # unlike maximum, keeps nan
            z = ()  # the same in all lanes of the sample
            for c in tl.static_range(CLASSES):
                logit = h[0] * w[INPUTS + 1 + c]
                for u in tl.static_range(1, UNITS):
                    logit = tl.fma(h[u], w[u * ROWS + INPUTS + 1 + c], logit)
                logit = tl.sum(tl.sum(logit, axis=1, keep_dims=True), axis=0, keep_dims=True)
                z = z + (b[c] + logit,)

            # delta_c = G_label / P * (softmax(z)_c - [c is the label])
            top = z[0]
            for c in tl.static_range(1, CLASSES):
                top = tl.maximum(top, z[c])
            e = ()
            total = zero
            weight = zero
            for c in tl.static_range(CLASSES):
                e = e + (tl.exp(z[c] - top),)
                total += e[c]
                weight = tl.where(label == c, tl.load(weights_ptr + c), weight)
            scale = weight / total
            delta = ()
            db_next = ()
            for c in tl.static_range(CLASSES):
                delta = delta + (e[c] * scale - tl.where(label == c, weight, 0.0),)
                db_next = db_next + (db[c] + delta[c],)
            db = db_next

            dw_next = ()
            for u in tl.static_range(UNITS):
                back = delta[0] * w[u * ROWS + INPUTS + 1]
                for c in tl.static_range(1, CLASSES):
                    back = tl.fma(delta[c], w[u * ROWS + INPUTS + 1 + c], back)
                back = tl.where(h[u] <= 0, 0.0, back)
                for d in tl.static_range(INPUTS):
                    dw_next = dw_next + (tl.fma(x[d], back, dw[u * ROWS + d]),)
                dw_next = dw_next + (dw[u * ROWS + INPUTS] + back,)
                for c in tl.static_range(CLASSES):
                    dw_next = dw_next + (tl.fma(delta[c], h[u], dw[u * ROWS + INPUTS + 1 + c]),)
            dw = dw_next

        lr = tl.load(rates_ptr)
        w_next = ()
        for i in tl.static_range(UNITS * ROWS):
            if BIAS or i % ROWS != INPUTS:
                w_next = w_next + (w[i] - lr * tl.sum(dw[i], axis=2, keep_dims=True),)
            else:
                w_next = w_next + (w[i],)
        w = w_next
        if BIAS:
            b_next = ()
            for c in tl.static_range(CLASSES):
                b_next = b_next + (b[c] - lr * tl.sum(db[c], axis=2, keep_dims=True),)
            b = b_next
        rates_ptr += runs
        weights_ptr += runs * CLASSES

    for i in tl.static_range(UNITS * ROWS):
        tl.store(w_ptr[i], w[i])
    for c in tl.static_range(CLASSES):
        tl.store(b_ptr[c], b[c])

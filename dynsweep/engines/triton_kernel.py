"""The Triton kernel of the one-hidden-layer model: one run per program.

Tensors have the shape ``(UNIT_WARPS, LANES, SAMPLES)`` with LANES * SAMPLES = 32. Triton's
default layout deals such a tensor one number to a thread, the last two axes to the lanes of a
warp; so a thread holds UNITS hidden units of its run, with their sums, in registers, and works
on TOGETHER samples at a time, which hides the softmax of one behind the products of another.
Sums over hidden units are FMA chains within a thread, then shuffles, and only for UNIT_WARPS > 1
a pass through shared memory; sums over samples wait until the end of the step. The weights are
replicated along the samples.

As in the compiled engine, softmax and gradients need outgoing weights as differences to those of
the last class only: D = CLASSES - 1 of them, v_c. With delta_c the gradient of logit c,

    S_ic = sum over samples with h > 0 of x_i delta_c    (i also the bias, with x = 1)

gives dF/dw1_i = sum_c v_c S_ic and dF/dw2_c = sum_i w1_i S_ic: F * D additions for each pair of
unit and sample, where the gradients themselves would take as many products and more. The sum of
w2_c over classes never changes.

``hidden[run, row, w, l, u]`` is row ``row`` of a unit: its INPUTS incoming weights, its bias,
and its D differences. Contractions are written out as ``fma``, and the compiler is told to make
no others, so that roundings do not depend on its version.
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
    TOGETHER: tl.constexpr,
    INPUTS: tl.constexpr,
    CLASSES: tl.constexpr,
    BIAS: tl.constexpr,
):
    """Take ``steps`` steps of gradient descent.

    hidden as above, bias ``(runs, D)``; learning rates ``(steps, runs)``; weights
    ``(steps, runs, classes)`` are G / P; inputs ``(inputs, samples)`` and labels ``(samples,)``
    are padded to ``tiles`` times TOGETHER times SAMPLES with samples of label -1, which count
    nothing.
    """
    D: tl.constexpr = CLASSES - 1
    F: tl.constexpr = INPUTS + 1
    ROWS: tl.constexpr = F + D
    run = tl.program_id(0).to(tl.int64)
    shape: tl.constexpr = (UNIT_WARPS, LANES, SAMPLES)
    warp = tl.arange(0, UNIT_WARPS)[:, None, None]
    lane = tl.arange(0, LANES)[None, :, None]
    thread = tl.broadcast_to(warp * LANES + lane, shape)
    sample = tl.broadcast_to(tl.arange(0, SAMPLES)[None, None, :], shape)
    w = ()
    for u in tl.static_range(UNITS):
        for r in tl.static_range(ROWS):
            row = (run * ROWS + r) * UNIT_WARPS * LANES
            w = w + (tl.load(hidden_ptr + (row + thread) * UNITS + u),)
    b = ()
    for c in tl.static_range(D):
        b = b + (tl.load(bias_ptr + run * D + c + 0 * thread),)
    rates_ptr += run
    weights_ptr += run * CLASSES
    zero = tl.zeros_like(w[0])
    for _step in range(steps):
        g = ()
        for c in tl.static_range(CLASSES):
            g = g + (tl.load(weights_ptr + c),)
        s = ()
        for _i in tl.static_range(UNITS * F * D):
            s = s + (zero,)
        db = ()
        for _c in tl.static_range(D):
            db = db + (zero,)
        for tile in range(tiles):
            x = ()
            a = ()  # activations before their ReLU, whose sign the sums need
            z = ()  # logits less that of the last class, this thread's part
            labels = ()
            for k in tl.static_range(TOGETHER):
                j = (tile * TOGETHER + k) * SAMPLES + sample
                labels = labels + (tl.load(labels_ptr + j),)
                for d in tl.static_range(INPUTS):
                    x = x + (tl.load(inputs_ptr + d * tiles * TOGETHER * SAMPLES + j),)
                part = ()
                for u in tl.static_range(UNITS):
                    into = w[u * ROWS + INPUTS]
                    for d in tl.static_range(INPUTS):
                        into = tl.fma(x[k * INPUTS + d], w[u * ROWS + d], into)
                    a = a + (into,)
                    h = tl.where(into <= 0, 0.0, into)  # unlike maximum, keeps nan
                    part_next = ()
                    for c in tl.static_range(D):
                        if u == 0:
                            part_next = part_next + (h * w[F + c],)
                        else:
                            part_next = part_next + (tl.fma(h, w[u * ROWS + F + c], part[c]),)
                    part = part_next
                for c in tl.static_range(D):
                    z = z + (part[c],)

            # delta_c = G_label / P * (softmax(z)_c - [c is the label]); q_ic = x_i delta_c
            q = ()
            for k in tl.static_range(TOGETHER):
                logits = ()
                for c in tl.static_range(D):
                    logit = tl.sum(z[k * D + c], axis=1, keep_dims=True)
                    logits = logits + (b[c] + tl.sum(logit, axis=0, keep_dims=True),)
                top = tl.where(logits[0] <= 0, 0.0, logits[0])
                for c in tl.static_range(1, D):
                    top = tl.maximum(top, logits[c])
                total = tl.exp(0.0 - top)
                e = ()
                for c in tl.static_range(D):
                    e = e + (tl.exp(logits[c] - top),)
                    total += e[c]
                weight = zero
                for c in tl.static_range(CLASSES):
                    weight = tl.where(labels[k] == c, g[c], weight)
                scale = weight / total
                delta = ()
                db_next = ()
                for c in tl.static_range(D):
                    delta = delta + (e[c] * scale - tl.where(labels[k] == c, weight, 0.0),)
                    db_next = db_next + (db[c] + delta[c],)
                db = db_next
                for d in tl.static_range(INPUTS):
                    for c in tl.static_range(D):
                        q = q + (x[k * INPUTS + d] * delta[c],)
                for c in tl.static_range(D):
                    q = q + (delta[c],)
            for k in tl.static_range(TOGETHER):
                s_next = ()
                for u in tl.static_range(UNITS):
                    for i in tl.static_range(F * D):
                        old = s[u * F * D + i]
                        new = old + q[k * F * D + i]  # a predicated addition
                        s_next = s_next + (tl.where(a[k * UNITS + u] <= 0, old, new),)
                s = s_next

        lr = tl.load(rates_ptr)
        w_next = ()
        for u in tl.static_range(UNITS):
            whole = ()
            for i in tl.static_range(F * D):
                whole = whole + (tl.sum(s[u * F * D + i], axis=2, keep_dims=True),)
            for i in tl.static_range(F):
                if BIAS or i < INPUTS:
                    slope = w[u * ROWS + F] * whole[i * D]
                    for c in tl.static_range(1, D):
                        slope = tl.fma(w[u * ROWS + F + c], whole[i * D + c], slope)
                    w_next = w_next + (w[u * ROWS + i] - lr * slope,)
                else:
                    w_next = w_next + (w[u * ROWS + i],)
            slopes = ()  # of w2_c; that of the last class is less the sum of the others
            for c in tl.static_range(D):
                slope = w[u * ROWS] * whole[c]
                for i in tl.static_range(1, F):
                    slope = tl.fma(w[u * ROWS + i], whole[i * D + c], slope)
                slopes = slopes + (slope,)
            others = slopes[0]
            for c in tl.static_range(1, D):
                others = others + slopes[c]
            for c in tl.static_range(D):
                w_next = w_next + (w[u * ROWS + F + c] - lr * (slopes[c] + others),)
        w = w_next
        if BIAS:
            slopes = ()
            for c in tl.static_range(D):
                slopes = slopes + (tl.sum(db[c], axis=2, keep_dims=True),)
            others = slopes[0]
            for c in tl.static_range(1, D):
                others = others + slopes[c]
            b_next = ()
            for c in tl.static_range(D):
                b_next = b_next + (b[c] - lr * (slopes[c] + others),)
            b = b_next
        rates_ptr += runs
        weights_ptr += runs * CLASSES

    for u in tl.static_range(UNITS):
        for r in tl.static_range(ROWS):
            row = (run * ROWS + r) * UNIT_WARPS * LANES
            tl.store(hidden_ptr + (row + thread) * UNITS + u, w[u * ROWS + r])
    for c in tl.static_range(D):
        tl.store(bias_ptr + run * D + c + 0 * thread, b[c])

"""One document through microgpt and back, in a single call: loss and all gradients.

microgpt is Karpathy's GPT of 4192 parameters. A step takes some ten microseconds of arithmetic, so
calls from Python would cost more than the work. The same model in the words of the tape stands in
`train.models.microgpt`; tests hold the two against each other.

`sizes` are (vocabulary, context, width, heads, ff, layers); parameters lie one behind the other:
wte [V, C], wpe [T, C], lm_head [V, C], and per layer wq, wk, wv, wo [C, C], fc1 [F, C], fc2 [C, F].
"""

from __future__ import annotations

import numpy as np

from zigllm_cli.train.kernels.compiled import kernel


@kernel
def _matrix(flat, start, rows, columns):
    return flat[start : start + rows * columns].reshape(rows, columns)


@kernel
def _linear(x, w, y):
    """Y += x W^T."""
    for t in range(x.shape[0]):
        for o in range(w.shape[0]):
            total = x.dtype.type(0)
            for i in range(w.shape[1]):
                total += w[o, i] * x[t, i]
            y[t, o] += total


@kernel
def _linear_back(x, w, dy, dx, dw):
    """Dx += dy W, dW += dy^T x."""
    for t in range(x.shape[0]):
        for o in range(w.shape[0]):
            d = dy[t, o]
            for i in range(w.shape[1]):
                dx[t, i] += d * w[o, i]
                dw[o, i] += d * x[t, i]


@kernel
def _norm(x, y, epsilon):
    """RMSNorm without a gain."""
    for t in range(x.shape[0]):
        squares = x.dtype.type(0)
        for c in range(x.shape[1]):
            squares += x[t, c] * x[t, c]
        r = 1 / np.sqrt(squares / x.shape[1] + epsilon)
        for c in range(x.shape[1]):
            y[t, c] = x[t, c] * r


@kernel
def _norm_back(x, dy, dx, epsilon):
    """Dx += its gradient; r is cheaper to compute again than to keep."""
    width = x.shape[1]
    for t in range(x.shape[0]):
        squares, dot = x.dtype.type(0), x.dtype.type(0)
        for c in range(width):
            squares += x[t, c] * x[t, c]
            dot += x[t, c] * dy[t, c]
        r = 1 / np.sqrt(squares / width + epsilon)
        for c in range(width):
            dx[t, c] += r * (dy[t, c] - x[t, c] * dot * r * r / width)


@kernel
def _attention(q, k, v, heads, p, y):
    """Causal attention; probabilities to p [heads, T, T]."""
    dim = q.shape[1] // heads
    factor = 1 / np.sqrt(dim)
    for h in range(heads):
        first, last = h * dim, (h + 1) * dim
        for t in range(q.shape[0]):
            row = p[h, t]
            most = -np.inf
            for j in range(t + 1):
                score = 0.0
                for c in range(first, last):
                    score += q[t, c] * k[j, c]
                row[j] = score * factor
                most = max(most, row[j])
            total = 0.0
            for j in range(t + 1):
                row[j] = np.exp(row[j] - most)
                total += row[j]
            for j in range(t + 1):
                row[j] /= total
                for c in range(first, last):
                    y[t, c] += row[j] * v[j, c]


@kernel
def _attention_back(q, k, v, heads, p, dy, dq, dk, dv):
    dim = q.shape[1] // heads
    factor = 1 / np.sqrt(dim)
    dp = np.empty(q.shape[0])
    for h in range(heads):
        first, last = h * dim, (h + 1) * dim
        for t in range(q.shape[0]):
            row = p[h, t]
            dot = 0.0
            for j in range(t + 1):
                dp[j] = 0.0
                for c in range(first, last):
                    dp[j] += dy[t, c] * v[j, c]
                    dv[j, c] += row[j] * dy[t, c]
                dot += row[j] * dp[j]
            for j in range(t + 1):
                score = row[j] * (dp[j] - dot) * factor
                for c in range(first, last):
                    dq[t, c] += score * k[j, c]
                    dk[j, c] += score * q[t, c]


@kernel
def _cross_entropy(logits, targets, factor):
    """The summed loss; logits become their gradient."""
    loss = 0.0
    for t in range(targets.size):
        row = logits[t]
        most = row.max()
        correct = row[targets[t]]
        total = 0.0
        for j in range(row.size):
            row[j] = np.exp(row[j] - most)
            total += row[j]
        loss += np.log(total) + most - correct
        for j in range(row.size):
            row[j] *= factor / total
        row[targets[t]] -= factor
    return loss


@kernel
def learn(w, g, tokens, targets, sizes, epsilon, factor):
    """Add the gradient of `factor` times the summed loss to g; returns the sum."""
    vocabulary, context, width, heads, ff, layers = sizes
    n, square, wide = tokens.size, width * width, width * ff
    head = (vocabulary + context) * width
    base = head + vocabulary * width
    per_layer = 4 * square + 2 * wide

    streams = np.zeros((2 * layers + 1, n, width))  # x before each half of a block
    normed = np.empty((2 * layers, n, width))
    qkv = np.zeros((layers, 3, n, width))
    p = np.empty((layers, heads, n, n))
    mixed = np.zeros((layers, n, width))
    hidden = np.zeros((layers, n, ff))

    embedded = np.empty((n, width))
    wte, wpe = _matrix(w, 0, vocabulary, width), _matrix(w, vocabulary * width, context, width)
    for t in range(n):
        for c in range(width):
            embedded[t, c] = wte[tokens[t], c] + wpe[t, c]
    _norm(embedded, streams[0], epsilon)
    for layer in range(layers):
        at = base + layer * per_layer
        x, y, z = streams[2 * layer], streams[2 * layer + 1], streams[2 * layer + 2]
        h, f = normed[2 * layer], hidden[layer]
        _norm(x, h, epsilon)
        for part in range(3):
            _linear(h, _matrix(w, at + part * square, width, width), qkv[layer, part])
        q, k, v = qkv[layer, 0], qkv[layer, 1], qkv[layer, 2]
        _attention(q, k, v, heads, p[layer], mixed[layer])
        y[:] = x
        _linear(mixed[layer], _matrix(w, at + 3 * square, width, width), y)
        h = normed[2 * layer + 1]
        _norm(y, h, epsilon)
        _linear(h, _matrix(w, at + 4 * square, ff, width), f)
        for t in range(n):
            for i in range(ff):
                f[t, i] = max(f[t, i], 0.0)
        z[:] = y
        _linear(f, _matrix(w, at + 4 * square + wide, width, ff), z)
    logits = np.zeros((n, vocabulary))
    last = streams[2 * layers]
    _linear(last, _matrix(w, head, vocabulary, width), logits)
    loss = _cross_entropy(logits, targets, factor)

    dx = np.zeros((n, width))
    lm_head, dhead = _matrix(w, head, vocabulary, width), _matrix(g, head, vocabulary, width)
    _linear_back(last, lm_head, logits, dx, dhead)
    for layer in range(layers - 1, -1, -1):
        at = base + layer * per_layer
        x, y = streams[2 * layer], streams[2 * layer + 1]
        h, f = normed[2 * layer + 1], hidden[layer]
        df, dh = np.zeros((n, ff)), np.zeros((n, width))
        start = at + 4 * square + wide
        _linear_back(f, _matrix(w, start, width, ff), dx, df, _matrix(g, start, width, ff))
        for t in range(n):
            for i in range(ff):
                df[t, i] = df[t, i] if f[t, i] > 0 else 0.0
        start = at + 4 * square
        _linear_back(h, _matrix(w, start, ff, width), df, dh, _matrix(g, start, ff, width))
        _norm_back(y, dh, dx, epsilon)
        da = np.zeros((n, width))
        start = at + 3 * square
        wo, dwo = _matrix(w, start, width, width), _matrix(g, start, width, width)
        _linear_back(mixed[layer], wo, dx, da, dwo)
        d = np.zeros((3, n, width))
        q, k, v = qkv[layer, 0], qkv[layer, 1], qkv[layer, 2]
        _attention_back(q, k, v, heads, p[layer], da, d[0], d[1], d[2])
        h, dh = normed[2 * layer], np.zeros((n, width))
        for part in range(3):
            start = at + part * square
            wp, dwp = _matrix(w, start, width, width), _matrix(g, start, width, width)
            _linear_back(h, wp, d[part], dh, dwp)
        _norm_back(x, dh, dx, epsilon)
    de = np.zeros((n, width))
    _norm_back(embedded, dx, de, epsilon)
    dwte, dwpe = _matrix(g, 0, vocabulary, width), _matrix(g, vocabulary * width, context, width)
    for t in range(n):
        for c in range(width):
            dwte[tokens[t], c] += de[t, c]
            dwpe[t, c] += de[t, c]
    return loss

"use strict";
// The operators of export/graph.py in float32, one map after the other: (channels, rows, columns).

const FUNCTIONS = {
  relu: (x) => (x > 0 ? x : 0),
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  silu: (x) => x / (1 + Math.exp(-x)),
  hardswish: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
};

// Abramowitz and Stegun, 7.1.26: within 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - p * Math.exp(-x * x));
}

function map(shape) {
  return { shape, data: new Float32Array(shape[0] * shape[1] * shape[2]) };
}

// One tap at a time: for each output channel, input channel and place of the kernel, a row is added to a row.
function convolve(node, x, weights) {
  const [outputs, height, width] = node.shape;
  const [inputs, rows, columns] = x.shape;
  const [taps, kernel] = [node.kernel, node.kernel[0] * node.kernel[1]];
  const share = inputs / node.groups;
  const y = map(node.shape);
  for (let o = 0; o < outputs; o++) {
    const plane = y.data.subarray(o * height * width, (o + 1) * height * width);
    plane.fill(weights[node.bias + o]);
    const first = Math.floor(o / (outputs / node.groups)) * share;
    for (let i = 0; i < share; i++) {
      const source = x.data.subarray((first + i) * rows * columns, (first + i + 1) * rows * columns);
      for (let tap = 0; tap < kernel; tap++) {
        const weight = weights[node.weight + (o * share + i) * kernel + tap];
        const down = Math.floor(tap / taps[1]) * node.dilation[0] - node.padding[0];
        const right = (tap % taps[1]) * node.dilation[1] - node.padding[1];
        if (node.transposed) {
          add(weight, source, [rows, columns], plane, [height, width], node.stride, down, right, true);
        } else {
          add(weight, plane, [height, width], source, [rows, columns], node.stride, down, right, false);
        }
      }
    }
  }
  return y;
}

// Places (r, c) of the first map meet (r * stride + down, c * stride + right) of the second.
function add(weight, one, size, two, reach, stride, down, right, scatter) {
  for (let r = 0; r < size[0]; r++) {
    const other = r * stride[0] + down;
    if (other < 0 || other >= reach[0]) continue;
    for (let c = 0; c < size[1]; c++) {
      const column = c * stride[1] + right;
      if (column < 0 || column >= reach[1]) continue;
      if (scatter) two[other * reach[1] + column] += weight * one[r * size[1] + c];
      else one[r * size[1] + c] += weight * two[other * reach[1] + column];
    }
  }
}

const OPERATORS = {
  convolution: (node, [x], weights) => convolve(node, x, weights),
  activation: (node, [x]) => ({ shape: x.shape, data: x.data.map(FUNCTIONS[node.kind]) }),
  add: (node, [a, b]) => ({ shape: a.shape, data: a.data.map((value, i) => value + b.data[i]) }),
  multiply: (node, [a, b]) => {
    const period = a.data.length / b.data.length; // 1, or the positions of a map where b is a number a channel
    return { shape: a.shape, data: a.data.map((value, i) => value * b.data[Math.floor(i / period)]) };
  },
  concat: (node, parts) => {
    const y = map(node.shape);
    let place = 0;
    for (const part of parts) {
      y.data.set(part.data, place);
      place += part.data.length;
    }
    return y;
  },
  slice: (node, [x]) => {
    const positions = x.shape[1] * x.shape[2];
    return { shape: node.shape, data: x.data.slice(node.start * positions, node.stop * positions) };
  },
  mean: (node, [x]) => {
    const positions = x.shape[1] * x.shape[2];
    const y = map(node.shape);
    for (let c = 0; c < x.shape[0]; c++) {
      let total = 0;
      for (let p = 0; p < positions; p++) total += x.data[c * positions + p];
      y.data[c] = total / positions;
    }
    return y;
  },
};

// pixels: RGB or RGBA, 0-255, row by row.
function logits(model, pixels) {
  const [channels, height, width] = model.input;
  const step = pixels.length / (height * width);
  const x = map(model.input);
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < height * width; p++) {
      x.data[c * height * width + p] = (pixels[p * step + c] - model.mean[c]) / model.std[c];
    }
  }
  const values = [x];
  model.nodes.forEach((node, i) => {
    values.push(OPERATORS[node.op](node, node.inputs.map((value) => values[value]), model.weights));
    for (const value of node.inputs) if (model.last[value] === i) values[value] = null;
  });
  return Array.from(values[values.length - 1].data);
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

function loaded(id) {
  const model = JSON.parse(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(atob(model.weights), (letter) => letter.charCodeAt(0));
  model.weights = new Float32Array(bytes.buffer);
  return model;
}

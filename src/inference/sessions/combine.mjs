// @ts-nocheck: gets its types with the protocol of the session thread
// The one loop that guidance and every sampling step are made of. Knows no algorithm. Plain JavaScript: it runs in the
// session thread, where the tensors lie. Types in combine.d.mts.
//
// A clip runs this over millions of numbers at every step. Four at a time, each with a sum of its own, take half the time
// of one at a time; the few that are left over have a function of their own, because in the same function they would
// treble the time of the loop before them (V8 of Node 20 to 24).
//
// The sum of the results is finite only if all of them are, hence all inputs were; that costs little, and spares a pass
// of its own over the model's output. It is of numbers up to 1e39, in double: no overflow of its own.

export function combine(terms, out, limit = Infinity) {
  const [[a, x], [b, y] = [0, x], [c, z] = [0, x]] = terms;
  if (terms.length > 3) throw new RangeError(`${terms.length} terms; at most 3 can be combined.`);
  if (terms.length === 1 && a === 1 && limit === Infinity) {
    out.set(x);
    return 0;
  }
  const whole = out.length - (out.length % 4);
  const sum = terms.length === 3 ? ofThree(a, x, b, y, c, z, out, whole) : ofTwo(a, x, b, y, out, whole);
  const total = sum + oneByOne(terms, out, whole);
  if (limit !== Infinity) limitTo(limit, out);
  return total;
}

function ofTwo(a, x, b, y, out, end) {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  for (let k = 0; k < end; k += 4) {
    const first = a * x[k] + b * y[k];
    const second = a * x[k + 1] + b * y[k + 1];
    const third = a * x[k + 2] + b * y[k + 2];
    const fourth = a * x[k + 3] + b * y[k + 3];
    out[k] = first;
    out[k + 1] = second;
    out[k + 2] = third;
    out[k + 3] = fourth;
    sum0 += first;
    sum1 += second;
    sum2 += third;
    sum3 += fourth;
  }
  return sum0 + sum1 + sum2 + sum3;
}

function ofThree(a, x, b, y, c, z, out, end) {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  for (let k = 0; k < end; k += 4) {
    const first = a * x[k] + b * y[k] + c * z[k];
    const second = a * x[k + 1] + b * y[k + 1] + c * z[k + 1];
    const third = a * x[k + 2] + b * y[k + 2] + c * z[k + 2];
    const fourth = a * x[k + 3] + b * y[k + 3] + c * z[k + 3];
    out[k] = first;
    out[k + 1] = second;
    out[k + 2] = third;
    out[k + 3] = fourth;
    sum0 += first;
    sum1 += second;
    sum2 += third;
    sum3 += fourth;
  }
  return sum0 + sum1 + sum2 + sum3;
}

function oneByOne(terms, out, begin) {
  const [[a, x], [b, y] = [0, x], [c, z] = [0, x]] = terms;
  let sum = 0;
  for (let k = begin; k < out.length; k += 1) {
    const value = a * x[k] + b * y[k] + c * z[k];
    out[k] = value;
    sum += value;
  }
  return sum;
}

function limitTo(limit, out) {
  for (let k = 0; k < out.length; k += 1) out[k] = Math.max(-limit, Math.min(limit, out[k]));
}

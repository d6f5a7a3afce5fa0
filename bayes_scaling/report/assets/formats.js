// Numbers as Python's display writes them, so that the page reads alike before and after it recomputes.
const formats = (() => {
  /** Python's format(value, ".{digits}g"). */
  function general(value, digits) {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    if (exponent >= -4 && exponent < digits) return String(Number(value.toPrecision(digits)));
    const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
    return `${short}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }

  function count(value) {
    for (const [limit, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (limit <= value && value < 1000 * limit) return general(value / limit, 3) + unit;
    }
    return general(value, 3);
  }

  const chance = (probability) => (100 * probability > 99.9 ? "> 99.9 %" : `${(100 * probability).toFixed(1)} %`);
  const bracketed = (values, shown) => `${shown(values.median)} [${shown(values.lower)}, ${shown(values.upper)}]`;
  const fixed = (digits) => (value) => value.toFixed(digits);
  const figures = (digits) => (value) => general(value, digits);

  function beyond(distance) {
    const far = Object.entries(distance).filter(([, nats]) => nats > 0);
    return far.map(([axis, nats]) => `${general(Math.exp(nats), 3)} times in ${axis}`).join(", ") || "no";
  }

  const budget = (value) => (value === 0 ? "any" : value === Infinity ? "none" : general(value, 3));

  /** A number as people type one, with k, M, B or T after it; NaN where it is none. */
  function parse(text) {
    const found = /^\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*([kMBT]?)\s*$/i.exec(text);
    if (!found) return NaN;
    return Number(found[1]) * { "": 1, k: 1e3, m: 1e6, b: 1e9, t: 1e12 }[found[2].toLowerCase()];
  }

  /** A number as a field shows it: what is read back is the same number. */
  const field = (value) => [9, 13, 17].map((digits) => general(value, digits)).find((text) => Number(text) === value);

  return { general, count, chance, bracketed, fixed, figures, beyond, budget, parse, field };
})();

// Answers from posterior draws, by the steps that Python takes (decide/actions.py, decide/search.py, discrepancy.py).
// Formulas of laws and cost models are not written here: FORMULAS holds those that Python recorded.
const answers = (() => {
  const END = 14;  // nats of density that the search goes to
  const GRID = 0.5;
  const STEP = 1e-5;  // of differences in log density
  const BESIDE = 1e-9;  // beside 0, where a cost may jump between dense and sparse
  const ACTIONS = 60;
  const INSIDE = 1e-9;  // nats beyond the runs that rounding makes
  const NATS = [0, 200];  // logs of data between which budgets are searched: no less than one token
  const HALVINGS = 40;

  const sparsityAt = (t) => -Math.expm1(-t);

  /** Draws as typed arrays, from base64. */
  function decode(base64, length) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const all = new Float64Array(bytes.buffer);
    return Array.from({ length: all.length / length }, (_, j) => all.subarray(j * length, (j + 1) * length));
  }

  /** A sum that rounds once, so that means agree with Python's to the last digits. */
  function mean(values) {
    let sum = 0, lost = 0;
    for (const value of values) {
      const next = sum + value;
      lost += Math.abs(sum) >= Math.abs(value) ? (sum - next) + value : (value - next) + sum;
      sum = next;
    }
    return (sum + lost) / values.length;
  }

  /** Median and equal-tailed interval; `nearest` takes draws as they are, which the infinite ones need. */
  function interval(values, prob, nearest = false) {
    const sorted = Float64Array.from(values).sort();
    const at = (q) => {
      const place = (sorted.length - 1) * q, low = Math.floor(place), way = place - low;
      if (nearest) return sorted[way < 0.5 || (way === 0.5 && low % 2 === 0) ? low : low + 1];
      const a = sorted[low], b = sorted[Math.min(low + 1, sorted.length - 1)];
      return way < 0.5 ? a + (b - a) * way : b - (b - a) * (1 - way);
    };
    return { median: at(0.5), lower: at((1 - prob) / 2), upper: at((1 + prob) / 2) };
  }

  const share = (values, holds) => values.reduce((count, value) => count + (holds(value) ? 1 : 0), 0) / values.length;

  /** A root of f between a and b, where it changes sign; Chandrupatla's method. */
  function root(f, a, b, fa, fb) {
    let c = a, fc = fa, way = 0.5;
    for (let step = 0; step < 200; step += 1) {
      const x = a + way * (b - a), fx = f(x);
      if (Math.sign(fx) === Math.sign(fa)) { [c, fc] = [a, fa]; } else { [c, b, fc, fb] = [b, a, fb, fa]; }
      [a, fa] = [x, fx];
      const best = Math.abs(fa) < Math.abs(fb) ? a : b;
      const room = 4e-16 * Math.abs(best) + 1e-13, limit = room / Math.abs(b - a);
      if (fa === 0 || limit > 0.5) return best;
      const xi = (a - b) / (c - b), phi = (fa - fb) / (fc - fb);
      const smooth = phi ** 2 < xi && (1 - phi) ** 2 < 1 - xi;
      way = smooth ? (fa / (fb - fa)) * (fc / (fb - fc)) + ((c - a) / (b - a)) * (fa / (fc - fa)) * (fb / (fc - fb)) : 0.5;
      way = Math.min(1 - limit, Math.max(limit, way));
    }
    return a;
  }

  /** Where a function is least between 0 and an end: the best point of a grid, then the root of the slope beside it. */
  function least(f, highest) {
    const step = highest / (ACTIONS - 1);
    if (step === 0) return 0;
    const values = Array.from({ length: ACTIONS }, (_, k) => f(k * step));
    const k = values.indexOf(Math.min(...values)), slope = slopeOf(f);
    const left = Math.max(k - 1, 0) * step, right = Math.min(k + 1, ACTIONS - 1) * step;
    const falls = slope(left), rises = slope(right);
    if (!(falls < 0 && rises > 0)) return k * step;
    const t = root(slope, left, right, falls, rises);
    return f(t) <= values[k] ? t : k * step;
  }

  /** Slope of a function of log density; at 0 from the right, since nothing is less sparse than dense. */
  function slopeOf(f) {
    return (t) => (t > 2 * STEP ? f(t + STEP) - f(t - STEP)
      : 4 * f(BESIDE + t + STEP) - 3 * f(BESIDE + t) - f(BESIDE + t + 2 * STEP));
  }

  /** A question to one modality and structure, in closures over its draws. */
  function ask(page, draws, formulas, question, every = 1) {
    const cell = page.cells.find((c) => c.modality === question.modality && c.structure === question.structure);
    const group = page.modalities.find((m) => m.name === question.modality);
    const cost = formulas.costs[question.cost][question.structure];
    const pick = (j) => (every === 1 ? draws[j] : draws[j].filter((_, i) => i % every === 0));
    const c = cell.coefficients.map(pick), n = c[0].length;
    const slopes = group.slopes && group.slopes.map((sides) => sides.map(pick));
    const ends = cell.ends[question.cost];
    const N = question.nonzero_params, F = question.flops_per_unit;
    const dataSeen = (S, C = question.train_flops) => cost.data_seen(S, N, C, F);
    const byLaw = (S, D, i) => (D > 0 ? formulas.loss(S, N, D, c, i) : Infinity);

    /** Nats beyond the runs, by axis and side. */
    function beyond(S, D) {
      const multiplier = cost.multiplier(S) / cost.multiplier(0);
      const place = [Math.log(N), Math.log(D), Math.log(1 - S), Math.log(N) + Math.log(D) + Math.log(multiplier)];
      return ends.map((sides, axis) => sides.map((nats, side) => {
        const far = side === 0 ? nats - place[axis] : nats + place[axis];
        return far > INSIDE ? far : 0;
      }));
    }

    /** Draws of the loss at a sparsity, with what the law may miss beyond the runs. */
    function loss(S) {
      const D = dataSeen(S), found = new Float64Array(n);
      for (let i = 0; i < n; i += 1) found[i] = byLaw(S, D, i);
      if (!slopes || !(D > 0)) return found;
      const nats = beyond(S, D);
      nats[3] = nats[3].map((far, side) => Math.max(far - (nats[0][side] + nats[1][side]), 0));
      const terms = nats.flatMap((sides, axis) => sides.map((far, side) => [far, slopes[axis][side]]));
      const some = terms.filter(([far]) => far > 0);
      if (some.length === 0) return found;
      for (let i = 0; i < n; i += 1) {
        let missed = 0;
        for (const [far, slope] of some) missed += far * slope[i];
        found[i] *= Math.exp(missed);
      }
      return found;
    }

    function lawLoss(S) {
      const D = dataSeen(S);
      return Float64Array.from({ length: n }, (_, i) => byLaw(S, D, i));
    }

    /** The allowed sparsity with the least expected loss. */
    function action() {
      const expected = (S) => mean(loss(S));
      if (cell.fixed === null) return sparsityAt(least((t) => expected(sparsityAt(t)), -Math.log1p(-cell.largest)));
      return cell.fixed <= cell.largest && expected(cell.fixed) < expected(0) ? cell.fixed : 0;
    }

    /** Each draw's own optimum, by the law alone. */
    function optima() {
      const best = new Float64Array(n);
      if (!page.prunes) return best;
      if (cell.fixed !== null) {
        const sparse = lawLoss(cell.fixed), dense = lawLoss(0);
        return best.map((_, i) => (sparse[i] < dense[i] ? cell.fixed : 0));
      }
      const points = Array.from({ length: END / GRID + 1 }, (_, k) => (k === 0 ? BESIDE : k * GRID));
      const spent = points.map((t) => [sparsityAt(t), dataSeen(sparsityAt(t))]);
      const jumps = Math.abs(cost.multiplier(BESIDE) / cost.multiplier(0) - 1) > 1e-6;
      const denseData = dataSeen(0);
      for (let i = 0; i < n; i += 1) {
        let k = 0, lowest = Infinity;
        spent.forEach(([S, D], j) => {
          const here = byLaw(S, D, i);
          if (here < lowest) [k, lowest] = [j, here];
        });
        const f = (t) => { const S = sparsityAt(t); return byLaw(S, dataSeen(S), i); };
        const slope = slopeOf(f);
        const left = Math.max(k - 1, 0) * GRID, right = Math.min(k + 1, points.length - 1) * GRID;
        const falls = slope(left), rises = slope(right);
        let t = k * GRID;
        if (falls < 0 && rises > 0) t = root(slope, left, right, falls, rises);
        if (jumps && !(f(Math.max(t, BESIDE)) < byLaw(0, denseData, i))) t = 0;
        best[i] = sparsityAt(t);
      }
      return best;
    }

    /** The smallest budget from which any sparsity pays, draw by draw; 0 always, infinite never. */
    function budgets() {
      if (!page.prunes) return new Float64Array(n).fill(Infinity);
      return Float64Array.from({ length: n }, (_, i) => {
        const pays = (logData) => {
          const C = F * N * Math.exp(logData);
          const f = (t) => { const S = sparsityAt(t); return byLaw(S, dataSeen(S, C), i); };
          return cell.fixed === null ? slopeOf(f)(0) < 0 : f(-Math.log1p(-cell.fixed)) < f(0);
        };
        let [low, high] = NATS;
        if (pays(low)) return 0;
        if (!pays(high)) return Infinity;
        for (let k = 0; k < HALVINGS; k += 1) {
          const middle = (low + high) / 2;
          if (pays(middle)) high = middle; else low = middle;
        }
        return F * N * Math.exp(high);
      });
    }

    return { cell, group, n, c, dataSeen, beyond, loss, lawLoss, action, optima, budgets };
  }

  /** What Python's `recommend` says for one modality and structure, under the same names. */
  function recommend(page, draws, formulas, question) {
    const asked = ask(page, draws, formulas, question);
    const S = asked.action(), D = asked.dataSeen(S);
    const loss = asked.loss(S), dense = asked.loss(0), gain = dense.map((value, i) => value - loss[i]);
    const best = asked.optima(), byLaw = asked.lawLoss(S), byLawDense = asked.lawLoss(0);
    const own = best.map((s, i) => {
      const D_ = asked.dataSeen(s);
      return D_ > 0 ? formulas.loss(s, question.nonzero_params, D_, asked.c, i) : Infinity;
    });
    const beats = (than) => (S > 0 ? share(gain, (value) => value > than) : 0);
    const far = asked.beyond(S, D).map((sides) => Math.max(...sides));
    const equivalent = Float64Array.from({ length: asked.n }, (_, i) => formulas.dense_equivalent(S, asked.c, i));
    return {
      recommended: { sparsity: S, data_seen: D, total_params: question.nonzero_params / (1 - S) },
      optimal_sparsity: { ...interval(best, question.prob), probability_zero: share(best, (s) => s === 0) },
      loss: interval(loss, question.prob),
      dense_loss: interval(dense, question.prob),
      gain: interval(gain, question.prob),
      probability_sparse_beats_dense: beats(0),
      probability_beats_dense_by_margin: beats(question.margin),
      dense_equivalent: interval(equivalent, question.prob),
      expected_regret: mean(byLaw.map((value, i) => value - own[i])),
      regret_of_dense: mean(byLawDense.map((value, i) => value - own[i])),
      extrapolation: Object.fromEntries(["nonzero_params", "data_seen", "sparsity", "train_flops"].map((axis, k) => [axis, far[k]])),
      dense_data_seen: asked.dataSeen(0),
      wants_more: share(best, (s) => s > asked.cell.largest),
      at_largest: asked.cell.fixed === null && S > 0 && S >= asked.cell.largest - 1e-9,
      best,
    };
  }

  /** The action alone, for questions beside the one asked. */
  function brief(page, draws, formulas, question) {
    const asked = ask(page, draws, formulas, question);
    const S = asked.action(), loss = asked.loss(S), dense = asked.loss(0);
    const gain = dense.map((value, i) => value - loss[i]);
    return {
      sparsity: S,
      loss: interval(loss, question.prob),
      gain: interval(gain, question.prob),
      chance: S > 0 ? share(gain, (value) => value > 0) : 0,
    };
  }

  /** Gain over dense at a row of sparsities. */
  function gains(page, draws, formulas, question, points) {
    const asked = ask(page, draws, formulas, question), dense = asked.loss(0);
    return points.map((S) => {
      const loss = asked.loss(S);
      return { sparsity: S, ...interval(dense.map((value, i) => value - loss[i]), question.prob) };
    });
  }

  /** Optima over budgets, from every so-manieth draw. */
  function overBudgets(page, draws, formulas, question, points, every) {
    return points.map((C) => {
      const asked = ask(page, draws, formulas, { ...question, train_flops: C }, every);
      const best = asked.optima();
      const beats = share(best, (s) => s > 0);
      const shown = asked.cell.fixed === null ? interval(best, question.prob) : { median: beats, lower: beats, upper: beats };
      const S = asked.cell.fixed === null ? Math.min(shown.median, asked.cell.largest) : 0;
      const far = Math.max(...asked.beyond(S, asked.dataSeen(S)).flat());
      return { budget: C, ...shown, outside: far > 1e-3 };
    });
  }

  const paysFrom = (page, draws, formulas, question) =>
    interval(ask(page, draws, formulas, question).budgets(), question.prob, true);

  return { decode, interval, recommend, brief, gains, overBudgets, paysFrom };
})();

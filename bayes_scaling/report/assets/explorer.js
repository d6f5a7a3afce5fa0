// The fields, and everything on the page that follows them.
(() => {
  const PAGE = JSON.parse(document.getElementById("page").textContent);
  const DRAWS = answers.decode(PAGE.arrays, PAGE.draws);
  const CURVE = 41, BINS = 40, BUDGETS = 25, SOME = 500;
  const TIMES = [["a tenth of the budget", 0.1], ["ten times the budget", 10]];
  const LABELS = [...document.querySelectorAll("#alternatives thead th")].slice(1).map((one) => one.textContent);
  const PAUSE = 60;  // milliseconds without a change before anything is computed

  const section = document.getElementById("explorer");
  const form = document.getElementById("question");
  const fields = form.elements;
  let question = { ...PAGE.opening };
  if (!PAGE.costs.includes(question.cost)) question.cost = PAGE.costs[0];
  const first = { ...question };
  let asked = 0, waiting;

  const all = (selector) => document.querySelectorAll(selector);
  const group = () => PAGE.modalities.find((m) => m.name === question.modality);
  const cell = () => PAGE.cells.find((c) => c.modality === question.modality && c.structure === question.structure);
  const about = (part) => [PAGE, DRAWS, FORMULAS, { ...question, ...part }];

  function fill(name, value, text) {
    for (const slot of all(`[data-slot="${name}"]`)) {
      slot.dataset.value = JSON.stringify(value, (_, item) => (Number.isFinite(item) || typeof item !== "number" ? item : null));
      slot.firstElementChild.textContent = text;
    }
  }

  const show = (name, whether) => all(`[data-if="${name}"]`).forEach((part) => { part.hidden = !whether; });

  function tell(found) {
    const { bracketed, count, chance, fixed, figures, general } = formats;
    const sparse = found.recommended.sparsity > 0;
    const which = PAGE.prunes ? (sparse ? "sparse" : "dense") : "unpruned";
    all("[data-when]").forEach((part) => { part.hidden = part.dataset.when !== which; });
    const { sparsity, data_seen: data, total_params: total } = found.recommended;
    const entries = {
      modality: [question.modality, question.modality],
      structure: [question.structure, question.structure],
      unit: [group().unit, group().unit],
      cost: [question.cost, question.cost],
      nonzero_params: [question.nonzero_params, count(question.nonzero_params)],
      train_flops: [question.train_flops, general(question.train_flops, 3)],
      sparsity: [sparsity, sparsity.toFixed(3)],
      data_seen: [data, count(data)],
      dense_data_seen: [found.dense_data_seen, count(found.dense_data_seen)],
      total_params: [total, count(total)],
      loss: [found.loss, bracketed(found.loss, fixed(4))],
      dense_loss: [found.dense_loss, bracketed(found.dense_loss, fixed(4))],
      gain: [found.gain, bracketed(found.gain, figures(2))],
      gain_median: [found.gain.median, general(found.gain.median, 2)],
      chance: [found.probability_sparse_beats_dense, chance(found.probability_sparse_beats_dense)],
      margin: [question.margin, general(question.margin, 6)],
      margin_chance: [found.probability_beats_dense_by_margin, chance(found.probability_beats_dense_by_margin)],
      optimal: [found.optimal_sparsity, bracketed(found.optimal_sparsity, fixed(3))],
      probability_zero: [found.optimal_sparsity.probability_zero, chance(found.optimal_sparsity.probability_zero)],
      dense_equivalent: [found.dense_equivalent, `× ${bracketed(found.dense_equivalent, fixed(2))}`],
      regret: [found.expected_regret, general(found.expected_regret, 2)],
      dense_regret: [found.regret_of_dense, general(found.regret_of_dense, 2)],
      beyond: [found.extrapolation, formats.beyond(found.extrapolation)],
      prob: [question.prob, `${Math.round(100 * question.prob)}%`],
    };
    for (const [name, [value, text]] of Object.entries(entries)) fill(name, value, text);
    document.getElementById("wants-more").textContent = chance(found.wants_more);
    show("at_largest", found.at_largest);
    show("unseen", cell().unseen);
    show("opening", JSON.stringify(question) === JSON.stringify(PAGE.opening));
    show("margin", question.margin > 0);
    show("free", cell().fixed === null);
    show("pattern", cell().fixed !== null);
  }

  /** The opening's answer held against Python's. */
  function check(found) {
    if (!PAGE.answer) return;
    let worst = 0;
    (function walk(mine, theirs) {
      for (const [name, value] of Object.entries(theirs)) {
        if (!(name in mine)) continue;
        if (typeof value === "number") worst = Math.max(worst, Math.abs(mine[name] - value) / Math.max(1, Math.abs(value)));
        else if (value && typeof value === "object") walk(mine[name], value);
      }
    })(found, PAGE.answer);
    const line = document.getElementById("check");
    line.dataset.worst = worst;
    line.classList.toggle("wrong", !(worst < 1e-5));
    line.textContent = worst < 1e-5
      ? `Checked on opening: the page's own answer to the first question agrees with Python's to ${formats.general(worst, 1)}.`
      : `This page's own answer to the first question differs from Python's by ${formats.general(worst, 2)}: do not use the explorer.`;
  }

  async function drawGain(found) {
    const here = cell(), { sparsity } = found.recommended, sparse = sparsity > 0;
    const points = here.fixed === null
      ? Array.from({ length: CURVE }, (_, k) => here.largest * k / (CURVE - 1)) : [0, here.fixed];
    const rows = answers.gains(...about(), points);
    const choice = [sparse ? { sparsity, ...found.gain } : { sparsity: 0, median: 0, lower: 0, upper: 0 }];
    await drawing.draw("gain", { band: here.fixed === null ? rows : [], choice: here.fixed === null ? choice : [rows[1]] },
      `Gain over dense by sparsity; at the recommended ${sparsity.toFixed(3)} it is ${formats.bracketed(choice[0], formats.figures(2))}`);
    drawing.table("gain", "Gain over dense", ["sparsity", "median", "lower", "upper"],
      rows.filter((_, k) => here.fixed !== null || k % 5 === 0).map((r) => [r.sparsity.toFixed(3), ...["median", "lower", "upper"].map((n) => formats.general(r[n], 2))]));
    const bins = drawing.bins(found.best, BINS);
    await drawing.draw("optima", { bins, choice: [{ sparsity }] },
      `The draws' own optima: ${formats.bracketed(found.optimal_sparsity, formats.fixed(3))}`);
    drawing.table("optima", "The draws' own optima", ["sparsity from", "to", "share of draws"],
      bins.map((b) => [b.from.toFixed(3), b.to.toFixed(3), `${(100 * b.share).toFixed(1)} %`]));
  }

  async function drawBudgets() {
    const [low, high] = [question.train_flops / 100, question.train_flops * 100].map(Math.log);
    const every = Math.max(1, Math.floor(PAGE.draws / SOME));
    document.getElementById("every").textContent = every;
    const points = Array.from({ length: BUDGETS }, (_, k) => Math.exp(low + (high - low) * k / (BUDGETS - 1)))
      .filter((C) => C / (question.flops_per_unit * question.nonzero_params) >= 1);
    const rows = answers.overBudgets(...about(), points, every);
    const outside = [];
    rows.slice(1).forEach((row, k) => {
      if (!row.outside || !rows[k].outside) return;
      const last = outside[outside.length - 1];
      if (last && last.to === rows[k].budget) last.to = row.budget; else outside.push({ from: rows[k].budget, to: row.budget });
    });
    await drawing.draw("budgets", { band: rows, outside, now: [{ budget: question.train_flops }] },
      "Optimal sparsity over the training budget");
    drawing.table("budgets", "Over the training budget", ["FLOPs", "median", "lower", "upper", "beyond the runs"],
      rows.filter((_, k) => k % 3 === 0).map((r) => [formats.general(r.budget, 3), r.median.toFixed(3), r.lower.toFixed(3), r.upper.toFixed(3), r.outside ? "yes" : "no"]));
  }

  function paysFrom() {
    const from = answers.paysFrom(...about());
    fill("pays_from", from, PAGE.prunes ? formats.bracketed(from, formats.budget) : "–");
  }

  /** The recommendation had something else been asked: as Python's `alternatives`, as far as the page can tell. */
  function alternatives() {
    const questions = [["as asked", {}]];
    for (const c of PAGE.cells) {
      if (c.modality === question.modality && c.structure !== question.structure) questions.push([`structure ${c.structure}`, { structure: c.structure }]);
    }
    for (const cost of PAGE.costs) if (cost !== question.cost) questions.push([`cost model ${cost}`, { cost }]);
    for (const [name, times] of TIMES) questions.push([name, { train_flops: question.train_flops * times }]);
    const body = document.createElement("tbody");
    const steps = questions.map(([name, part]) => () => {
      if (buys({ ...question, ...part }) < 1) return;
      const found = answers.brief(...about(part)), sparse = found.sparsity > 0, line = body.insertRow();
      const heading = Object.assign(document.createElement("th"), { scope: "row" });
      heading.append(Object.assign(document.createElement("bdi"), { textContent: name }));
      line.append(heading);
      const texts = [sparse ? found.sparsity.toFixed(3) : "dense", formats.bracketed(found.loss, formats.fixed(4)),
        sparse ? formats.bracketed(found.gain, formats.figures(2)) : "–", sparse ? formats.chance(found.chance) : "–"];
      texts.forEach((text, k) => Object.assign(line.insertCell(), { textContent: text }).setAttribute("data-label", LABELS[k]));
    });
    return [...steps, () => document.querySelector("#alternatives tbody").replaceWith(body)];
  }

  const buys = (q) => FORMULAS.costs[q.cost][q.structure].data_seen(0, q.nonzero_params, q.train_flops, q.flops_per_unit);

  /** Steps one after the other, with time for the browser between them, until another question comes. */
  async function work(steps, number) {
    for (const step of steps) {
      if (number !== asked) return;
      await step();
      await new Promise((go) => { setTimeout(go); });
    }
    if (number === asked) section.setAttribute("aria-busy", "false");
  }

  function compute(opening = false) {
    const number = asked += 1;
    section.setAttribute("aria-busy", "true");
    if (buys(question) < 1) {
      say("This budget pays for less than one token or example of a dense model: the answer is that of the last question.");
      section.setAttribute("aria-busy", "false");
      return;
    }
    let found;
    const steps = [
      () => { found = answers.recommend(...about()); if (opening) check(found); if (!opening || PAGE.answer) tell(found); },
      () => drawGain(found), drawBudgets];
    work(opening && !PAGE.answer ? steps : [...steps, paysFrom, ...alternatives()], number);
  }

  function say(text, field) {
    document.getElementById("wrong").textContent = text;
    for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
    if (field) field.setAttribute("aria-invalid", "true");
  }

  function later() {
    section.setAttribute("aria-busy", "true");
    clearTimeout(waiting);
    waiting = setTimeout(compute, PAUSE);
  }

  /** What the fields show for the question; the one being typed in is left alone. */
  function showQuestion(except) {
    const set = (name, text) => { if (fields[name] !== except) fields[name].value = text; };
    const slide = (name, [low, high]) => {
      const slider = fields[`${name}_slider`], value = question[name];
      slider.min = Math.log10(Math.min(low, value)); slider.max = Math.log10(Math.max(high, value));
      if (slider !== except) slider.value = Math.log10(value);
      slider.setAttribute("aria-valuetext", formats.general(value, 3));
    };
    for (const name of ["modality", "structure", "cost"]) set(name, question[name]);
    for (const name of ["nonzero_params", "train_flops", "margin", "flops_per_unit", "prob"]) set(name, formats.field(question[name]));
    slide("nonzero_params", group().sizes);
    slide("train_flops", group().budgets);
    const speed = formats.parse(fields.speed.value), price = formats.parse(fields.price.value);
    const hours = question.train_flops / (3600 * speed);
    set("hours", speed > 0 ? formats.general(hours, 4) : "");
    fields.money.textContent = speed > 0 && price >= 0 ? `costs ${formats.general(hours * price, 4)} in the currency of the price` : "";
  }

  const ALLOWED = {
    nonzero_params: [(v) => v > 0, "Non-zero parameters are a number above 0, as 1e9 or 64M."],
    train_flops: [(v) => v > 0, "The budget is a number of FLOPs above 0, as 1e21."],
    margin: [(v) => v >= 0, "The margin is a difference in loss of at least 0."],
    flops_per_unit: [(v) => v > 0, "FLOPs per parameter and token are a number above 0, 6 as a rule."],
    prob: [(v) => v > 0 && v < 1, "The probability of an interval lies between 0 and 1."],
    speed: [(v) => v > 0, "FLOPs per second are a number above 0, as 2e14."],
    hours: [(v) => v > 0, "GPU-hours are a number above 0."],
    price: [(v) => v >= 0, "A price is a number of at least 0."],
  };

  function read(field) {
    const name = field.name;
    if (name === "modality") {
      const { nonzero_params, train_flops, flops_per_unit } = PAGE.modalities.find((m) => m.name === field.value);
      question = { ...question, modality: field.value, nonzero_params, train_flops, flops_per_unit };
    } else if (field.tagName === "SELECT") {
      question = { ...question, [name]: field.value };
    } else if (field.type === "range") {
      question = { ...question, [name.replace("_slider", "")]: Number((10 ** field.value).toPrecision(3)) };
    } else {
      const value = formats.parse(field.value), [allowed, sentence] = ALLOWED[name];
      if (["speed", "hours", "price"].includes(name) && field.value.trim() === "") { say(""); showQuestion(field); return; }
      if (!(Number.isFinite(value) && allowed(value))) { say(sentence, field); return; }
      const speed = formats.parse(fields.speed.value);
      if (name === "hours" && !(speed > 0)) { say("GPU-hours need the FLOPs per second that one GPU sustains.", fields.speed); return; }
      if (name === "hours") question = { ...question, train_flops: value * 3600 * speed };
      else if (name in question) question = { ...question, [name]: value };
    }
    say("");
    showQuestion(field);
    later();
  }

  const options = (name, values) => fields[name].append(...values.map((value) => Object.assign(new Option(value, value), { dir: "auto" })));
  options("modality", PAGE.modalities.map((m) => m.name));
  options("structure", [...new Set(PAGE.cells.map((c) => c.structure))]);
  options("cost", PAGE.costs);
  form.addEventListener("input", (event) => read(event.target));
  form.addEventListener("change", () => showQuestion());
  form.addEventListener("submit", (event) => event.preventDefault());
  fields.reset.addEventListener("click", () => { question = { ...first }; say(""); showQuestion(); later(); });
  addEventListener("beforeprint", () => { all("details:not(:has(.runs))").forEach((part) => { part.open = true; }); drawing.resize(); });
  addEventListener("afterprint", () => drawing.resize());
  section.hidden = false;
  showQuestion();
  compute(true);
})();

// Prediction

const stale = () => $("value").classList.add("stale");

async function predict({ quick = false } = {}) {
  const mine = ++turn, values = texts();
  let answer;
  showOddities();
  showCall(values);
  try {
    answer = await ask(`${place}invocations`, body(values));
  } catch (error) {
    if (mine !== turn) return;
    fields.forEach(mend);
    stale();
    put($("between"), "");
    say("");
    complain(error);
    if (!(error instanceof Refused)) throw error;
    return;
  }
  if (mine !== turn) return;
  fields.forEach(mend);
  say("");
  const { said, version } = answer;
  last = { texts: values, prediction: first(said.predictions), lower: said.intervals?.lower[0], upper: said.intervals?.upper[0] };
  showAnswer();
  showComparison();
  if (version && version !== model.version) open(true);
  if (!quick) await Promise.all([explain(values, mine), pullAnew(mine)]);
}

/** What the first row got: a number, or whatever a model of another kind says. */
function first(predictions) {
  if (Array.isArray(predictions)) return predictions[0];
  if (predictions && typeof predictions === "object") {
    const one = Object.values(predictions).map((each) => (Array.isArray(each) ? each[0] : each));
    return one.length === 1 ? one[0] : predictions;
  }
  return predictions;
}
function bare(prediction) {
  if (Array.isArray(prediction) && prediction.length === 1) return bare(prediction[0]);
  if (prediction && typeof prediction === "object" && !Array.isArray(prediction)) {
    const one = Object.values(prediction);
    if (one.length === 1) return one[0];
  }
  return prediction;
}

function showAnswer() {
  const { unit } = model.target, value = bare(last.prediction);
  const isNumber = typeof value === "number";
  const half = (last.upper - last.lower) / 2, places = half > 0 ? Math.min(12, Math.max(0, Math.ceil(2 - Math.log10(half)))) : null;
  const round = (each) => (places === null || Math.abs(each) >= 1e15 ? shown(each) : new Intl.NumberFormat("en", { minimumFractionDigits: places, maximumFractionDigits: places }).format(each));
  put($("value"), isNumber ? round(value) : value === null ? "no number" : typeof value === "string" ? value : JSON.stringify(value));
  $("value").classList.remove("stale");
  $("value").title = isNumber ? `exactly ${value}` : "";
  put($("unit"), isNumber ? unit : "");
  put($("short"), isNumber ? withUnit($("value").textContent, unit) : "");
  $("interval").hidden = !model.intervals || last.lower === undefined || last.lower === null;
  if ($("interval").hidden) return put($("between"), "");
  const { lower, upper } = last, share = coverage();
  put($("between"), `${withUnit(`${round(lower)} to ${round(upper)}`, unit)} holds the truth for ${percent(share)} of such rows`);
  put($("short"), `${$("short").textContent} (${round(lower)} to ${round(upper)})`);
  put($("coverage-text"), percent(share));
  $("coverage").setAttribute("aria-valuetext", percent(share));
  const table = model.intervals, at = table.coverage.findIndex((each) => each >= share - 1e-9);
  const widest = (upper - lower) * (table.quantile.at(-1) / table.quantile[at] || 1) * 1.04 || 1;
  const left = value - widest / 2, where = (each) => `${(100 * (each - left)) / widest}%`;
  $("band").style.left = where(lower);
  $("band").style.width = `${(100 * (upper - lower)) / widest}%`;
  $("point").style.left = where(value);
  put($("low"), shown(left, 4));
  put($("high"), shown(left + widest, 4));
}

// Reasons

async function explain(values, mine) {
  if (!canExplain || !fields.length) return;
  try {
    const { said } = await ask(`${place}explain`, `{"dataframe_records": [${row(values)}], "params": {"top": 8}}`);
    if (mine === turn) showReasons(said.explanations[0], values);
  } catch (error) {
    if (error.status === 404) canExplain = false;
    if (mine === turn) $("reasons").hidden = true;
  }
}

function showReasons(said, values) {
  $("reasons").hidden = !said?.contributions;
  if ($("reasons").hidden) return;
  const { unit } = model.target;
  const parts = Object.entries(said.contributions).map(([name, share]) => ({ name, share }));
  parts.sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
  if (said.rest !== undefined) parts.push({ name: "all other columns", share: said.rest, isRest: true });
  let at = said.base, low = Math.min(said.base, said.prediction), high = Math.max(said.base, said.prediction);
  for (const part of parts) {
    part.from = at;
    at += part.share;
    low = Math.min(low, at);
    high = Math.max(high, at);
  }
  const width = high - low || 1, where = (value) => (100 * (value - low)) / width;
  const bar = (kind, from, to) => {
    const mark = make("span", { className: kind });
    mark.style.left = `${where(Math.min(from, to))}%`;
    mark.style.width = `${(100 * Math.abs(to - from)) / width}%`;
    return make("span", { className: "bar", "aria-hidden": "true" }, mark);
  };
  const line = (name, small, middle, figure) => make("tr", {}, make("th", { scope: "row" }, name, ...(small ? [make("br"), make("small", {}, small)] : [])),
    make("td", {}, middle), make("td", { className: "number" }, figure));
  const rows = [line("Without knowing the row", "", bar("sum mark", said.base, said.base), shown(said.base, 4))];
  for (const { name, share, from, isRest } of parts) {
    const index = isRest ? -1 : model.columns.findIndex((column) => column.name === name);
    const text = index < 0 ? "" : values[index] === "" ? "empty" : withUnit(values[index].slice(0, 60), model.columns[index].unit);
    rows.push(line(name, text, bar(share < 0 ? "down" : "up", from, from + share), signed(share)));
  }
  rows.push(line("This prediction", "", bar("sum mark", said.prediction, said.prediction), shown(said.prediction, 4)));
  const heads = ["Column", "", unit ? `Adds (${unit})` : "Adds"];
  clear($("reasons-table")).append(make("thead", {}, make("tr", {}, ...heads.map((each, at) => make(each ? "th" : "td", { className: at === 2 ? "number" : "" }, each)))), make("tbody", {}, ...rows));
  put($("reasons-text"), said.exact ? "What each column adds to what is predicted without knowing the row." : "What each column adds to what is predicted without knowing the row; estimated.");
}
